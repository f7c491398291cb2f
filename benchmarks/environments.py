"""An environment for each peer, with pinned versions, made once and kept in `.bench`."""

from __future__ import annotations

import compileall
import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from peers import Peer

HOME = Path(__file__).parent.parent / ".bench"
NEWEST = 15  # the last Python 3 that is looked for


class Unavailable(Exception):
    """This machine cannot run the peer; the message says why."""


def prepare(peer: Peer) -> tuple[Path, Path]:
    """The interpreter of a peer and the directory of its environment. Raises Unavailable."""
    if peer.kind == "own":
        _compile(peer.tree)
        return Path(sys.executable), Path(sys.prefix)
    digest = hashlib.sha256(" ".join(peer.requirements).encode()).hexdigest()[:8]
    place = HOME / f"{peer.program.partition('.')[0].removeprefix('run_')}-{digest}"
    complete = place / "complete"
    if not complete.exists():
        _install(peer, place)
        complete.touch()
    return (_node(), place) if peer.kind == "node" else (place / "bin" / "python", place)


@cache
def _compile(tree: Path) -> None:
    """As an installation does. Some modules are first imported while jobs run: a tree without the
    bytecode of just these would pay for it by the job.
    """
    compileall.compile_dir(tree / "asyncmqd", quiet=1)


def _install(peer: Peer, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (HOME / ".gitignore").write_text("*\n")
    if peer.kind == "node":
        _node()
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(place)]
    else:
        _run([str(_python(peer.python)), "-m", "venv", str(place)])
        command = [str(place / "bin" / "pip"), "install", "--quiet"]
    print(f"installing {' '.join(peer.requirements)}", flush=True)
    _run([*command, *peer.requirements])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{command[0]} failed: {done.stderr[-500:]}")


def _node() -> Path:
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        raise Unavailable("node and npm are not installed")
    return Path(found)


@cache
def _python(least: tuple[int, int]) -> Path:
    """This Python if it is new enough, or else the first on PATH that is."""
    if sys.version_info >= least:
        return Path(sys.executable)
    for minor in range(least[1], NEWEST + 1):
        for directory in os.get_exec_path():
            found = Path(directory) / f"python3.{minor}"
            if found.exists() and _answers(found):
                return found
    mine = ".".join(map(str, sys.version_info[:2]))
    raise Unavailable(
        f"needs Python {least[0]}.{least[1]}, but this is {mine}, and PATH has no newer one"
    )


def _answers(python: Path) -> bool:
    """Whether it is an interpreter and not only a signpost to one."""
    asked = subprocess.run([python, "-c", ""], check=False, capture_output=True)
    return asked.returncode == 0
