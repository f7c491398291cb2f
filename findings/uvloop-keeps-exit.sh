#!/usr/bin/env bash
# uvloop 0.23.0: SystemExit raised in a protocol's data_received does not end the program.
#
# asyncio lets SystemExit and KeyboardInterrupt out of run() from there as from everywhere. uvloop lets them
# out of callbacks, but in data_received it takes them for a fault of the connection: it reports "Fatal
# error on transport", closes the connection and goes on. So sys.exit() is without effect there.
# uvloop's issue 612 tells of the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uvloop==0.23.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import socket
from importlib.metadata import version

import uvloop


async def run(place, error, events):
    def leave(*data):
        raise error

    class Protocol(asyncio.Protocol):
        data_received = leave

        def connection_lost(self, reason):
            events.append(f"connection lost by {reason!r}")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: events.append(context["message"]))
    near, far = socket.socketpair()
    with near, far:
        if place == "data_received":
            await loop.create_connection(Protocol, sock=near)
            far.send(b"data")
        else:
            loop.call_soon(leave)
        await asyncio.sleep(0.5)
    events.append("the program goes on")


def outcome(new_loop, place, error):
    events = []
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(run(place, error, events))
    except (SystemExit, KeyboardInterrupt) as left:
        events.append(f"{type(left).__name__} leaves run()")
    print(f"{new_loop.__module__}, {place}, {type(error).__name__}:", *events, sep="\n    ")
    return events[-1]


print("uvloop", version("uvloop"))
for kind in (SystemExit, KeyboardInterrupt):
    leaves = f"{kind.__name__} leaves run()"
    assert outcome(asyncio.new_event_loop, "data_received", kind()) == leaves
    assert outcome(uvloop.new_event_loop, "call_soon", kind()) == leaves
    goes_on = outcome(uvloop.new_event_loop, "data_received", kind())
    assert goes_on == "the program goes on", "the behaviour has changed"
PYTHON
