"""An environment for each peer, with pinned versions, made once and kept in `.bench`."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from peers import Peer

HOME = Path(__file__).parent.parent / ".bench"


class Unavailable(Exception):
    """This machine cannot run the peer; the message says why."""


def prepare(peer: Peer) -> tuple[Path, Path]:
    """The interpreter of a peer and the directory of its environment. Raises Unavailable."""
    if peer.kind == "own":
        return Path(sys.executable), Path(sys.prefix)
    digest = hashlib.sha256(" ".join(peer.requirements).encode()).hexdigest()[:8]
    place = HOME / f"{peer.name}-{digest}"
    complete = place / "complete"
    if not complete.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        (HOME / ".gitignore").write_text("*\n")
        print(f"installing {' '.join(peer.requirements)}", flush=True)
        _install(peer, place)
        complete.touch()
    return (_node(), place) if peer.kind == "node" else (place / "bin" / "python", place)


def _install(peer: Peer, place: Path) -> None:
    if peer.kind == "node":
        _node()
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(place)]
    else:
        venv.create(place, with_pip=True)
        command = [str(place / "bin" / "pip"), "install", "--quiet"]
    done = subprocess.run(
        [*command, *peer.requirements], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise Unavailable(f"{command[0]} failed: {done.stderr[-500:]}")


def _node() -> Path:
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        raise Unavailable("node and npm are not installed")
    return Path(found)
