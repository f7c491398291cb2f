"""What is made once for all processes of a test run, by whoever comes first; the others wait."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def make_once(path: Path, make: Callable[[Path], None]) -> Path:
    """The directory `path`, filled by `make`. If that fails, who comes next tries again."""
    done = path.with_name(f"{path.name}.made")
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
            make(path)
            done.touch()
    return path


def shared_directory(factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A directory that all processes of this run have in common."""
    own = factory.getbasetemp()
    return own if worker_id == "master" else own.parent
