"""Output that programs rely on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from asyncmqd.admin.time_format import rfc3339
from asyncmqd.cli.output import show_table
from tests.cli.conftest import SCRIPT, Operator


@pytest.fixture
def buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output leaves when the buffer is full, and at the end, as for most users."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


ONE_STORE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


def test_times_are_rfc_3339_in_utc() -> None:
    assert rfc3339(0.0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_800_000_000.125) == "2027-01-15T08:00:00.125Z"
    assert rfc3339(None) is None


def test_piped_tables_have_as_many_words_as_columns(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a b", None, True, "free text here"), ("", 12, False, "x")]
    show_table(("ONE", "TWO", "THREE", "LAST"), rows)
    assert capsys.readouterr().out.splitlines() == [
        "ONE     TWO  THREE  LAST",
        "a\\x20b  -    yes    free text here",
        "-       12   no     x",
    ]


@ONE_STORE
@pytest.mark.parametrize("count", [1, 50])
def test_a_reader_that_leaves_is_no_disaster(
    asyncmq: Operator, spawn: Callable[..., subprocess.Popen[str]], count: int, buffered: None
) -> None:
    for number in range(count):  # what is in the buffer yet at the end, and what is more than that
        asyncmq("enqueue", "t", "--id", f"{number:0>200}")
    ours, theirs = os.pipe()
    os.close(ours)
    process = spawn("job", "list", stdout=theirs)
    os.close(theirs)
    _, err = process.communicate()
    assert (process.returncode, err) == (1, "")


def test_the_daemon_s_command_ends_as_quietly(buffered: None) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    command = [SCRIPT.with_name("asyncmqd"), "--version"]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (1, "")


@ONE_STORE
@pytest.mark.parametrize(
    ("redirected", "outcome"),
    [
        ("> /dev/full", (1, "standard output: No space left on device\n")),
        (">&-", (0, "")),
        ("2>&-", (0, "")),
    ],
)
def test_output_that_cannot_be_written(
    asyncmq: Operator, store_url: str, redirected: str, outcome: tuple[int, str], buffered: None
) -> None:
    asyncmq("enqueue", "t")
    command = f'"{SCRIPT}" --backend "{store_url}" job list {redirected}'
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == outcome


def test_what_is_closed_is_opened_for_programs_too() -> None:
    """The first file that such a program opens would be its input, or its output."""
    begin = "from asyncmqd.cli.closed_streams import prepare; import os, sys; prepare();"
    code = f"{begin} assert not sys.stdin.read(); os.execvp('sh', ['sh', '-c', sys.argv[1]])"
    look = "found=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo $found >&9"
    command = [sys.executable, "-c", code, look]
    shell = ["sh", "-c", 'exec "$@" 9>&1 <&- >&- 2>&-', "-", *command]
    done = subprocess.run(shell, stdout=subprocess.PIPE, text=True)
    assert done.stdout.split() == ["/dev/null"] * 3


@ONE_STORE
def test_a_terminal_without_the_letter_gets_an_escape(
    asyncmq: Operator, spawn: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncmq("enqueue", "größe")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    process = spawn("job", "list")
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert r"gr\xf6\xdfe" in out


def test_help_does_not_load_what_only_commands_need() -> None:
    code = (
        "import sys\nfrom asyncmqd.cli.asyncmq import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(*(name for name in ('redis', 'sqlite3', 'pydantic', 'uvloop')"
        " if name in sys.modules), file=sys.stderr)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (loaded.returncode, loaded.stderr.split()) == (0, [])


def test_without_a_command_it_helps() -> None:
    ended = subprocess.run([SCRIPT], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (2, "")
    assert "enqueue" in ended.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell: str) -> None:
    environ = {**os.environ, "_ASYNCMQ_COMPLETE": f"source_{shell}"}
    script = subprocess.run([SCRIPT], env=environ, capture_output=True, text=True)
    assert script.returncode == 0
    assert "_ASYNCMQ_COMPLETE=complete_" in script.stdout


def test_completion_knows_states() -> None:
    environ = {
        **os.environ,
        "_ASYNCMQ_COMPLETE": "complete_bash",
        "COMP_WORDS": "asyncmq job list --state c",
        "COMP_CWORD": "4",
    }
    answer = subprocess.run([SCRIPT], env=environ, capture_output=True, text=True)
    assert answer.stdout.split() == ["completed", "cancelled"]
