"""The packages of other projects: by version and hash, and as wheels wherever there are some.

`requirements.txt` is what asyncmqd needs, `build-requirements.txt` what makes wheels of sources;
both come from `make constraints`. sdnotify is published as a source alone: its wheel is made with
the tools of the second list, and not with whatever the index has that day.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from layout import ROOT

NEEDED = Path(__file__).with_name("requirements.txt")
TOOLS = Path(__file__).with_name("build-requirements.txt")
_WHEELS_ONLY = ("--only-binary", ":all:")
_SOURCES = ("--no-binary", "sdnotify", "--use-pep517", "--no-build-isolation")
_HASH = re.compile(r" \\\n +--hash=\S+")


class Unavailable(Exception):
    """pip failed, and has said why."""


def install(target: Path, wheels: str) -> None:
    """This project and what it needs, from the index, or from a directory that `gather` filled."""
    if wheels:
        with _without_hashes() as needed, _tools("--no-index", "--find-links", wheels) as tools:
            where = ("--no-index", "--find-links", os.path.abspath(wheels))
            _pip("install", "--target", target, "--no-deps", *where, *_WHEELS_ONLY, "-r", needed)
            _install_this(target, tools)
        return
    with _tools() as tools:
        options = ("--no-deps", "--require-hashes", *_WHEELS_ONLY, *_SOURCES)
        _pip("install", "--target", target, *options, "-r", NEEDED, tools=tools)
        _install_this(target, tools)


def gather(wheels: Path) -> None:
    """Fill a directory with all that `install` takes from it. Needs no rights."""
    options = ("--wheel-dir", wheels, "--no-deps", "--require-hashes", *_WHEELS_ONLY)
    _pip("wheel", *options, "-r", TOOLS)
    with _tools("--no-index", "--find-links", wheels) as tools:
        _pip("wheel", *options, *_SOURCES, "-r", NEEDED, tools=tools)


def _install_this(target: Path, tools: str) -> None:
    _pip("install", "--target", target, "--no-deps", "--no-build-isolation", ROOT, tools=tools)


@contextmanager
def _tools(*where: str | Path) -> Iterator[str]:
    """What makes wheels, in a directory of its own."""
    with tempfile.TemporaryDirectory() as tools:
        options = ("--no-deps", "--require-hashes", *_WHEELS_ONLY)
        _pip("install", "--target", tools, *options, *where, "-r", TOOLS)
        yield tools


@contextmanager
def _without_hashes() -> Iterator[str]:
    """The list for a directory in which sdnotify is a wheel that was made there."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(_HASH.sub("", NEEDED.read_text()))
        file.flush()
        yield file.name


def _pip(verb: str, *options: str | Path, tools: str = "") -> None:
    quiet = ["--quiet", "--disable-pip-version-check"]
    if verb == "install":
        quiet += ["--root-user-action=ignore", "--no-warn-conflicts", "--no-compile", "--upgrade"]
    environ = {**os.environ, "PYTHONPATH": tools} if tools else dict(os.environ)
    command = [sys.executable, "-m", "pip", verb, *quiet, *map(str, options)]
    if subprocess.run(command, env=environ, check=False).returncode:
        raise Unavailable
