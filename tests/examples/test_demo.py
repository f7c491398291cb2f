"""`make run` as a whole: the daemon on SQLite, the endpoint, files, Ctrl-C."""

from __future__ import annotations

import os
import pty
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES

FILES = 12
ROOT = Path(__file__).parents[2]


@contextmanager
def demo(var: Path) -> Iterator[subprocess.Popen[str]]:
    """A running demo; killed at the end, should it still run."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dropfolder.demo", "--var", var, "--files", str(FILES)],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()  # it passes this on to its daemon
        process.communicate()


def read_until(process: subprocess.Popen[str], *wanted: str) -> str:
    """What it prints, up to the line by which all of `wanted` have been seen."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if all(each in text for each in wanted):
            return text
    raise AssertionError(f"it ended without {wanted}:\n{text}")


def test_every_task_completes_and_ctrl_c_drains_twice_over(tmp_path: Path):
    for _ in range(2):  # the second start finds the files of the first
        with demo(tmp_path) as process:
            read_until(
                process, "each task has completed jobs", f"all {FILES} files are archived, indexed"
            )
            process.send_signal(signal.SIGINT)
            read_until(process, "the daemon has ended, exit code 0")
            assert process.wait() == 0
        home = tmp_path / "dropfolder"
        assert list((home / "inbox").iterdir()) == list((home / "taken").iterdir()) == []
        with closing(sqlite3.connect(home / "catalog.db")) as catalog:
            assert catalog.execute("select count(*) from files").fetchone() == (FILES,)
            assert catalog.execute("select count(*) from announcements").fetchone() == (FILES,)


def test_make_ends_as_well_as_the_daemon_at_ctrl_c(tmp_path: Path):
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["MAKEFLAGS"] = ""  # of the make that runs the tests
        os.execlp("make", "make", "-C", ROOT, "run", f"RUN=--var {tmp_path} --files {FILES}")
    text = ""
    while "each task has completed jobs" not in text:
        text += os.read(terminal, 65_536).decode()
    os.write(terminal, b"\x03")
    with suppress(OSError):  # EIO: all who had the terminal are gone
        while data := os.read(terminal, 65_536):
            text += data.decode()
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, text
    assert "starting the daemon" in text
    assert "Attempts fail on purpose" in text
    assert "the daemon has ended, exit code 0" in text
    assert "***" not in text


@pytest.mark.full
def test_a_second_daemon_in_the_same_place_says_why_it_does_not_start(tmp_path: Path):
    with demo(tmp_path) as first:
        read_until(first, "The daemon is ready")
        with demo(tmp_path) as second:
            read_until(second, "another daemon runs", "exit code 1")
            assert second.wait() == 1
