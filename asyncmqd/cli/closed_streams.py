"""The standard streams of a command, which may be closed, full or left by their reader."""

from __future__ import annotations

import os
import sys

from asyncmqd.cli.errors import FAILED


def prepare() -> None:
    """Open what is closed (`<&-`, `>&-`), so that nothing that is opened later takes its place.

    Programs that jobs start inherit it: one without would take its first file for its own output.
    """
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(nowhere, True)
    os.close(nowhere)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r"))  # noqa: SIM115 - until the end


def flushed(code: int) -> int:
    """The exit code of a command whose work is done, once its output has left; 1 if it cannot.

    A reader that goes away (`| head -1`) has seen enough, so nothing is said of that. Python would
    flush at its own end, complain there, and exit with 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            code = FAILED
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # where Python's own flush goes
            if stream is sys.stdout and not isinstance(error, BrokenPipeError):
                print(f"standard output: {error.strerror}", file=sys.stderr)
    return code
