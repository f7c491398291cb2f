"""Every key of a queue goes from the file to the worker by its field, and is told nowhere else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.config.diff import diff
from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.load import load
from asyncmqd.config.models import Settings
from asyncmqd.config.settings_transfer import packed, unpacked
from asyncmqd.config.tables import keys_of, read
from asyncmqd.daemon.children.limit_split import share_of
from asyncmqd.domain.options import period
from asyncmqd.domain.queue_options import FIXED_KEYS, QueueOptions, of_code
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.runners import run_worker
from asyncmqd.runtime.worker import Worker

SOMETHING = (
    "{a = {key_concurrency = 2}}",
    "7",
    '"process"',
    '["a.b:inbox"]',
    '[{task = "a.b.nightly", every = "5m"}]',
    "[]",
)
"""Values of which one is right for each key, and not its default."""
BESIDE = {
    "burst": "rate_limit",
    "global_burst": "global_rate_limit",
    "global_rate_interval": "global_rate_limit",
    "key_burst": "key_rate_limit",
    "key_rate_interval": "key_rate_limit",
}
"""What a key cannot be without."""


def written(folder: Path, table: str, key: str) -> Settings:
    """A file in which a table has the key."""
    path = folder / "queues.toml"
    beside = f"{BESIDE[key]} = 9\n" if key in BESIDE else ""
    for value in SOMETHING:
        text = f'backend = "sqlite:///x"\nmax_concurrency = 9\n[defaults]\n[queues.mail]\n{beside}'
        path.write_text(text.replace(f"[{table}]\n", f"[{table}]\n{key} = {value}\n"))
        try:
            return load(path, {})
        except ConfigErrors:
            continue
    raise AssertionError(f"no value for {key}")


@pytest.mark.parametrize("table", ["defaults", "queues.mail"])
@pytest.mark.parametrize("key", QueueOptions.__struct_fields__)
async def test_a_key_of_the_file_reaches_the_worker(tmp_path: Path, key: str, table: str) -> None:
    settings = written(tmp_path, table, key)
    value = getattr(settings.queues["mail"], key)
    assert value != getattr(QueueOptions(), key)
    child = unpacked(packed(settings))
    options = share_of(child.served, 1, 1)["mail"]
    assert getattr(options, key) == value
    assert Worker("mail", ProcessContext(InMemoryBackend()), options).options is options


@pytest.mark.parametrize("key", QueueOptions.__struct_fields__)
async def test_a_reload_brings_a_key_to_all_parts_of_the_worker(tmp_path: Path, key: str) -> None:
    new = written(tmp_path, "queues.mail", key)
    before = msgspec.structs.replace(new, queues={"mail": QueueOptions(rate_limit=9)})
    (changes,) = diff(before, new).changed.values()
    assert key in {change.key for change in changes}
    old, options = before.served["mail"], new.served["mail"]
    assert options.needs_new_worker(old) == (key in FIXED_KEYS)
    worker = Worker("mail", ProcessContext(InMemoryBackend()), old)
    worker.adjust(options)
    parts = [worker, *(each for each in vars(worker).values() if hasattr(each, "options"))]
    assert len(parts) > 2
    assert all(each.options is options for each in parts)


class Longer(QueueOptions, frozen=True, kw_only=True):
    """The same with a key more."""

    siesta: Annotated[float, period(), "The time at noon in which nothing starts."] = 0.0


def test_a_field_is_all_that_a_new_key_needs() -> None:
    queue = read(Longer, {"siesta": "2h", "concurrency": 4})
    assert queue == Longer(siesta=7_200.0, concurrency=4)
    assert msgspec.json.decode(msgspec.json.encode(queue), type=Longer) == queue
    assert keys_of(Longer)["siesta"].meaning.startswith("The time at noon")
    shares = [share_of({"mail": queue}, number, 2)["mail"] for number in (1, 2)]
    assert shares == [msgspec.structs.replace(queue, concurrency=2)] * 2
    with pytest.raises(ValueError, match="expected seconds"):
        read(Longer, {"siesta": "soon"})


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("concurrency", 0),
        ("concurrency", "5"),
        ("rate_limit", "100/m"),
        ("rate_limit", -1),
        ("rate_interval", 0),
        ("burst", 0),
        ("scan_interval", "soon"),
        ("drain_timeout", -1),
        ("retries", None),
        ("timeout", "5 minutes"),
    ],
)
async def test_a_worker_of_code_is_refused_what_a_file_is(key: str, wrong: object) -> None:
    store = InMemoryBackend()
    with pytest.raises(ValueError, match=f"^{key}: expected .*, got {wrong!r}$"):
        await run_worker("mail", store, **{key: wrong})
    assert await store.workers() == []  # it has not begun


def test_a_worker_of_code_may_have_times_as_text() -> None:
    options = of_code(timeout="5m", drain_timeout=timedelta(seconds=2), rate_limit=None)
    assert (options.timeout, options.drain_timeout, options.rate_limit) == (300.0, 2.0, None)
