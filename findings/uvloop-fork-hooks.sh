#!/usr/bin/env bash
# uvloop 0.23.0 runs the hooks of os.register_at_fork for each program that it starts.
#
# The hooks are meant for children that go on in Python; subprocess and asyncio leave them out, except
# with preexec_fn. Under uvloop create_subprocess_exec runs all three: before and after in the parent, and
# the child's own in the child, before the program replaces it. What an application does there for its
# forked workers so happens once more for each program that it runs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uvloop==0.23.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import os
import subprocess
from importlib.metadata import version

import uvloop

PROGRAM = "true"
seen, told = os.pipe()
os.set_blocking(seen, False)
os.register_at_fork(
    before=lambda: os.write(told, b"before "),
    after_in_parent=lambda: os.write(told, b"parent "),
    after_in_child=lambda: os.write(told, b"child "),
)


async def start():
    process = await asyncio.create_subprocess_exec(PROGRAM)
    assert await process.wait() == 0


def under(new_loop):
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(start())


WAYS = {
    "subprocess": (lambda: subprocess.run([PROGRAM], check=True), []),
    "subprocess with preexec_fn": (
        lambda: subprocess.run([PROGRAM], check=True, preexec_fn=int), ["before", "child", "parent"]),
    "asyncio": (lambda: under(asyncio.new_event_loop), []),
    "uvloop": (lambda: under(uvloop.new_event_loop), ["before", "child", "parent"]),
}
print("uvloop", version("uvloop"))
for name, (way, expected) in WAYS.items():
    way()
    try:
        hooks = sorted(os.read(seen, 1000).decode().split())
    except BlockingIOError:
        hooks = []
    print(f"{name}: hooks {hooks}")
    assert hooks == expected, f"{name}: the behaviour has changed"
PYTHON
