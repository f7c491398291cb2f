#!/usr/bin/env bash
# uvloop 0.23.0 takes the child that another thread forks for the program that it is starting.
#
# To start a program uvloop sets a mark, runs the hooks of os.register_at_fork, and forks. While a hook
# waits, another thread may call os.fork(). uvloop's handler in that child sees the mark and does for the
# program what os.fork() does again afterwards: the hooks for children run twice. From Python 3.13 on the
# second time may be fatal, "PyMutex_Unlock: unlocking mutex that is not locked", and the child is aborted.
# So a pool's worker that a thread forks dies now and then while the loop starts a program. This is shown
# on 3.11 and 3.12 only, where nothing dies.
set -euo pipefail
"${PYTHON:-python3}" -c 'import sys; sys.version_info < (3, 13) or sys.exit("expected Python 3.11 or 3.12")'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uvloop==0.23.0
"$folder/venv/bin/python" -W ignore::DeprecationWarning - 2>/dev/null <<'PYTHON'
import asyncio
import os
import sys
import threading
from importlib.metadata import version

import uvloop

steps = []
starting, forked = threading.Event(), threading.Event()


def before():
    if threading.current_thread() is threading.main_thread():  # uvloop starts the program
        starting.set()
        forked.wait(10)


os.register_at_fork(before=before, after_in_child=lambda: steps.append("child"))


def fork(ends):
    starting.wait(10)
    if (child := os.fork()) == 0:
        os._exit(len(steps))
    forked.set()
    ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


async def start():
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0


def under(new_loop):
    """How often the hook ran in the child of the thread."""
    starting.clear(), forked.clear()
    ends = []
    thread = threading.Thread(target=fork, args=(ends,))
    thread.start()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(start())
    starting.set()  # asyncio runs no hook
    thread.join()
    return ends[0]


ours, theirs = under(asyncio.new_event_loop), under(uvloop.new_event_loop)
print("uvloop", version("uvloop"), "Python", sys.version.split()[0])
print("hooks in a child that is forked while asyncio starts a program:", ours)
print("hooks in a child that is forked while uvloop starts a program:", theirs)
assert ours == 1, "the behaviour has changed"
assert theirs == 2, "the behaviour has changed"
PYTHON
