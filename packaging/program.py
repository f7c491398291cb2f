"""The code itself: one directory for each build, and two launchers that name the one in use.

A directory is complete before it gets its name and is never changed after that, so that a daemon
that still runs, and the children it starts, stay with the code that they began with.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import py_compile
import re
import shutil
import sys
from pathlib import Path

import packages
from layout import COMMANDS, Place

_LAUNCHER = '''\
#!{python} -I
"""The command {command}; made by `make install`."""

import sys

if __name__ == "__main__":  # not when multiprocessing reads it again in a process that it spawns
    sys.path.insert(0, "{code}")
    from asyncmqd.cli.{command} import main

    main()
'''


class Failed(Exception):
    """The installation cannot go on; its text says why."""


def interpreter() -> str:
    """The interpreter that the code is for, by the name that no upgrade gives to another one."""
    return os.path.realpath(sys.executable)


def lay_down(place: Place, wheels: str) -> Path:
    """Install this project and what it needs into a new directory; its path when installed."""
    building = place.on_disk(place.library / ".new")
    shutil.rmtree(building, ignore_errors=True)  # what an interrupted installation left
    building.mkdir(parents=True)
    try:
        _fetch(building, wheels)
        code = place.library / _name_of(building)
        if not place.on_disk(code).exists():
            _compile(building, code)
            building.rename(place.on_disk(code))
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return code


def _fetch(target: Path, wheels: str) -> None:
    try:
        packages.install(target, wheels)
    except packages.Unavailable:
        raise Failed("pip could not install the code; nothing was changed") from None
    # Scripts of other projects, and records that name the place of this build.
    shutil.rmtree(target / "bin", ignore_errors=True)
    (information,) = target.glob("asyncmqd-*.dist-info")
    for name in ("RECORD", "direct_url.json"):
        (information / name).unlink()


def _name_of(directory: Path) -> str:
    """The version and a digest of all that is in there: the same code has the same name."""
    digest = hashlib.sha256(interpreter().encode())
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(directory)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    (information,) = directory.glob("asyncmqd-*.dist-info")
    version = information.name.removeprefix("asyncmqd-").removesuffix(".dist-info")
    return f"{version}-{digest.hexdigest()[:12]}"


def _compile(directory: Path, code: Path) -> None:
    """Compile now what the service may not write later.

    By hash and unchecked, not by time: the directory never changes, times may on the way to the
    target system, and so two builds of the same code have the same bytes.
    """
    compileall.compile_dir(
        directory,
        ddir=str(code),
        quiet=1,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def launcher(command: str, code: Path) -> str:
    """The text of a launcher: a script, because a shell before the interpreter would take time."""
    return _LAUNCHER.format(python=interpreter(), command=command, code=code)


def in_use(place: Place) -> Path | None:
    """The directory that the installed launcher names, if one is installed."""
    path = place.on_disk(place.launcher(COMMANDS[0]))
    if not path.is_file():
        return None
    found = re.search(rf'"({re.escape(str(place.library))}/[^/"]+)"', path.read_text())
    return Path(found[1]) if found else None


def remove_older(place: Place, keep: set[Path | None]) -> None:
    """Remove the code of earlier installations."""
    for directory in place.on_disk(place.library).iterdir():
        if directory.is_dir() and place.library / directory.name not in keep:
            shutil.rmtree(directory)
