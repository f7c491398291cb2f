"""How a process leaves whose threads, or exit functions, may never end."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.daemon.harness import until

PROGRAM = """
import atexit, threading, time
from asyncmqd.runtime.process_exit import leave
atexit.register(print, "said")
{more}
threading.Thread(target=time.sleep, args=(1000,)).start()  # an ordinary exit would wait for it
leave(7, limit={limit})
"""


def _begin(more: str, limit: float) -> subprocess.Popen[str]:
    program = PROGRAM.format(more=more, limit=limit)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def _stop(process: subprocess.Popen[str]) -> None:
    """Signal it until it ends: Python 3.14 may begin to sleep before it looks at a signal."""

    def has_ended() -> bool:
        process.send_signal(signal.SIGTERM)
        return process.poll() is not None

    try:
        until(has_ended)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("more", "limit"),
    [
        ("", 1000),
        ("atexit.register(lambda: 1 / 0)", 1000),
        ("atexit.register(time.sleep, 0.05); atexit.register(time.sleep, 0.05)", 1000),
    ],
    ids=["all done", "one fails", "some take time"],
)
def test_exit_functions_run_and_threads_are_not_waited_for(more, limit):
    process = _begin(more, limit)
    assert process.communicate(timeout=60)[0] == "said\n"
    assert process.returncode == 7


def test_exit_functions_have_a_limit():
    process = _begin("atexit.register(time.sleep, 1000)", 0.05)
    process.communicate(timeout=60)
    assert process.returncode == 7


def test_a_signal_to_stop_ends_it_at_once():
    hold = "atexit.register(lambda: (print('now', flush=True), time.sleep(1000)))"
    process = _begin(hold, 1000)
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    _stop(process)
    assert process.returncode == 7


LAST_STEP = """
from asyncmqd.runtime import process_exit
lock = threading.Lock()
def finish():
    with lock:
        print("now", flush=True)
        time.sleep(1000)
process_exit.finish = finish
"""


def test_a_signal_in_the_last_step_ends_it_at_once():
    """It comes to the very thread that holds what the step would take again."""
    process = _begin(LAST_STEP, 1000)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["said\n", "now\n"]
    _stop(process)
    assert process.returncode == 7


def test_the_last_step_has_a_limit_too():
    process = _begin(LAST_STEP, 0.5)
    try:
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 7
