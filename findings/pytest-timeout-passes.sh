#!/usr/bin/env bash
# pytest-timeout 2.4.0 lets a test pass that went on past its limit.
#
# Its default method raises the failure out of the alarm's handler, in whatever Python code runs at that
# moment. If that is a step of an asyncio task which nobody awaits, asyncio keeps the failure as the
# task's outcome; the alarm comes once only, so that the test has no limit any more and pytest says
# "passed". The same work in the test's own coroutine fails. The method "thread" is not fooled: it ends
# the whole process. pytest-timeout's issue 113 is about alarms that asyncio keeps to itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pytest==9.2.0 pytest-timeout==2.4.0
cat >"$folder/test_limit.py" <<'PYTHON'
import asyncio
import time


async def busy():
    end = time.monotonic() + 2
    while time.monotonic() < end:
        pass


def test_own_step():
    asyncio.run(busy())


def test_step_of_a_task():
    async def test():
        task = asyncio.create_task(busy())
        while not task.done():
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)

    start = time.monotonic()
    asyncio.run(test())
    print(f"the limit is 1 s, the test took {time.monotonic() - start:.1f} s")
    assert time.monotonic() - start > 1
PYTHON
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import re
import subprocess
import sys
from importlib.metadata import version


def verdict(test, method):
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "--timeout=1",
               f"--timeout-method={method}", f"test_limit.py::{test}"]
    done = subprocess.run(command, cwd=sys.argv[1], capture_output=True, text=True)
    lines = re.findall(r"^the limit.*|^\d (?:passed|failed).*", done.stdout, re.MULTILINE)
    print(f"{test}, {method}: status {done.returncode}", *lines, sep="; ")
    return done.returncode


print(*(f"{name} {version(name)}" for name in ("pytest", "pytest-timeout")))
assert verdict("test_own_step", "signal") == 1
assert verdict("test_step_of_a_task", "signal") == 0, "the behaviour has changed"
assert verdict("test_step_of_a_task", "thread") == 1
PYTHON
