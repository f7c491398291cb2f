"""However long, deep or wrong a configuration is, it is refused in words and soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.load import MOST_PROBLEMS, load
from asyncmqd.config.nesting_depth import MAX_DEPTH, too_deep
from tests.scale import scaled

BASE = 'backend = "memory://"\n[queues.mail]\nconcurrency = 1\n'
NESTING = f"expected at most {MAX_DEPTH} levels of nesting, got more"
LONG_KEY = f"expected a key of at most {MAX_DEPTH} parts, got "
TEXTS = 'y = "[[["\nx = """\n' + "[\n" * 200 + '"""\n'
ENOUGH = 20.0  # seconds of this process's own time; some of these took minutes


def errors_of(path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(ConfigErrors) as caught:
        load(path, environ or {})
    assert time.process_time() - began < ENOUGH
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("x = " + "[" * 100_000 + "]" * 100_000, f"4: queues.mail.x: {NESTING}"),
        ("x = " + "{a = " * 20_000 + "1" + "}" * 20_000, f"4: queues.mail.x: {NESTING}"),
        ("x = " + "[" * 101, f"4: queues.mail.x: {NESTING}"),
        ("x" + ".a" * 100_000 + " = 1", f"4: queues.mail.x{'.a' * 33}.: {LONG_KEY}100001"),
        ("x = {b" + ".a" * 5_000 + " = 1}", f"4: queues.mail.x: {LONG_KEY}5001"),
        ("[" + "a." * 50_000 + "b]", f"4: toml: {LONG_KEY}50001"),
        (TEXTS + "z = " + "[" * 101, f"207: queues.mail.z: {NESTING}"),
    ],
    ids=["array", "inline", "open", "key", "inline key", "header", "after texts"],
)  # fmt: skip
def test_deep_nesting_is_refused_with_its_line(tmp_path: Path, value: str, problem: str) -> None:
    assert errors_of(tmp_path / "queues.toml", f"{BASE}{value}\n") == [problem]


@pytest.mark.parametrize(
    "text",
    [
        'x = "' + "[{." * 500 + '"',
        "x = '" + "[{." * 500 + "'",
        'x = """' + '\\"[{.\n' * 500 + '"""',
        "x = '''" + "[{.\n" * 500 + "'''",
        "# " + "[{." * 500,
        "x = [" + "1.5, " * 500 + "]",
        "x = [" + "[1], {a = 1}, " * 500 + "]",
        "[a.b]\nc.d = 1\n" * 500,
        "x = " + "[" * MAX_DEPTH + "]" * MAX_DEPTH,
        "a." * (MAX_DEPTH - 1) + "b = 1",
    ],
)
def test_what_is_not_deep_passes(text: str) -> None:
    assert too_deep(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{n} = 1\n" for n in range(80_000)),
        pytest.param("".join(f"[t{n}]\n" for n in range(80_000)), marks=pytest.mark.full),
        "[[queues.mail.repeatables]]\ntask = 't'\n" * scaled(5_000, 20_000),
    ],
    ids=["keys", "tables", "repeatables"],
)
def test_of_very_many_problems_the_first_are_told(tmp_path: Path, text: str) -> None:
    errors = errors_of(tmp_path / "queues.toml", BASE + text)
    assert len(errors) == MOST_PROBLEMS + 1
    assert errors[-1].endswith(
        f"expected no problems, got more than the {MOST_PROBLEMS} that are listed"
    )


@pytest.mark.parametrize(
    "environ",
    [
        {"ASYNCMQD_DEFAULTS__" + "A__" * 500 + "B": "1"},
        {"ASYNCMQD_DEFAULTS": '{"a":' * 500 + "1" + "}" * 500},
        {"ASYNCMQD_DEFAULTS": "[" * 200_000},
    ],
    ids=["name", "value", "open"],
)
def test_a_deep_variable_is_refused(tmp_path: Path, environ: dict[str, str]) -> None:
    [error] = errors_of(tmp_path / "queues.toml", BASE, environ)
    [name] = environ
    assert error.startswith(f"ENV:{name}: defaults")
    assert error.endswith(NESTING)
