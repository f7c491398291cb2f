"""F59: a payload names a task, and names are looked up among what was registered at start.

An audit hook sees every import of the process, and every program that it starts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import JobSpec, NewJob
from asyncmqd.domain.states import State
from tests.security.test_payloads import registry as registry  # noqa: PLC0414 - a fixture
from tests.security.test_payloads import run_dry

NAMES = [
    "os.system",
    "builtins.eval",
    "builtins.__import__",
    "posix:system",
    "subprocess.Popen",
    "antigravity",
    "antigravity.fly",
    "xmlrpc.server.SimpleXMLRPCServer",
    "planted.run",
    "/tmp/planted.py",
    "../planted",
    "good.__globals__",
    "good.__class__.__mro__",
    "__main__.good",
    "GOOD",
    " good",
    "good\0",
    "go\u00adod",
]
WATCHED = (
    "import",
    "exec",
    "compile",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
)

_watchers: list[list[str]] = []


def _audit(event: str, args: tuple[object, ...]) -> None:
    if event in WATCHED:
        for noted in _watchers:
            noted.append(f"{event} {args[:1]}")


sys.addaudithook(_audit)  # cannot be removed, so there is one for all tests


@pytest.fixture
def audited() -> Iterator[list[str]]:
    """What was imported, compiled or started while the test ran."""
    noted: list[str] = []
    _watchers.append(noted)
    yield noted
    _watchers.remove(noted)


async def test_f59_no_name_in_a_payload_is_imported(
    open_store, registry, audited, tmp_path, monkeypatch, seen
):
    (tmp_path / "planted.py").write_text("raise AssertionError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    backend = await open_store()
    payloads = [encode_spec(JobSpec(id="a", task=name, args=["true"])) for name in NAMES]
    jobs = [NewJob(id=f"job-{n}", payload=payload) for n, payload in enumerate(payloads)]
    good = encode_spec(JobSpec(id="a", task="good"))
    await backend.add("q", [NewJob(id="first", payload=good)])
    await run_dry(backend, registry)  # whatever a first run or look loads is no payload's doing
    await backend.get("q", ["first"])

    audited.clear()
    await backend.add("q", [*jobs, NewJob(id="last", payload=good)])
    await run_dry(backend, registry)
    (last,) = await backend.get("q", ["last"])
    counts = (await backend.counts(["q"]))["q"]
    assert (last.state, counts.parked, counts.failed) == (State.COMPLETED, len(NAMES), 0)
    assert audited == []
    seen(f"F59 payloads naming what is no task: {len(NAMES)} put aside, 0 imports")


def test_the_audit_hook_would_see_an_import(audited):
    sys.modules.pop("colorsys", None)
    __import__("colorsys")
    assert any(event.startswith("import ('colorsys'") for event in audited)
