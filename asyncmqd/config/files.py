"""The configuration file and its drop-ins, as layers.

Whoever only looks a key up reads them as they are. The daemon, which runs what they name, reads
them `guarded`: files that others can write are errors (file_permissions.py).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from asyncmqd.config import file_permissions, toml
from asyncmqd.config.errors import ConfigError, Place
from asyncmqd.config.layers import Layer

MOST_BYTES = 1024 * 1024  # of one file
MOST_DROP_IN_BYTES = 16 * MOST_BYTES  # of all drop-ins


def read_files(path: Path, *, guarded: bool = False) -> Iterator[Layer]:
    """The file itself, then its drop-ins, `<stem>.d/*.toml`, in name order."""
    main = read_file(0, path)
    if main.document is not None and not main.errors and not main.document.text.strip():
        main.refuse("toml", "expected a configuration, got an empty file")
    if guarded:
        _guard_main(main, path)
    yield main
    folder = path.with_name(f"{path.stem}.d")
    try:
        # Editors leave .#name.toml and the like behind while a file is open.
        names = sorted(p for p in folder.iterdir() if p.suffix == ".toml" and p.name[0] != ".")
    except FileNotFoundError:
        return
    except OSError as error:
        layer = Layer(1, str(folder))
        yield layer.refuse("toml", f"expected a directory of drop-ins, got {_reason(error)}")
        return
    size = 0
    for order, name in enumerate(names, 1):
        layer = read_file(order, name)
        size += 0 if layer.status is None else layer.status.st_size
        if size > MOST_DROP_IN_BYTES:
            yield layer.refuse(
                "toml", f"expected drop-ins of at most {MOST_DROP_IN_BYTES} bytes, got more"
            )
            return
        if guarded:
            _guard_drop_in(layer, folder, main)
        yield layer


def stamp(path: Path) -> list[tuple[str, int, int]]:
    """What the file and its drop-ins look like from outside: it changes when one is written."""
    stamps = []
    for each in (path, *sorted(path.with_name(f"{path.stem}.d").glob("[!.]*.toml"))):
        with contextlib.suppress(OSError):
            found = each.stat()
            stamps.append((each.name, found.st_ino, found.st_mtime_ns))
    return stamps


def _guard_main(layer: Layer, path: Path) -> None:
    if layer.status is None:
        return  # it could not be read, and an error says so
    _refuse(layer, file_permissions.file_problem(layer.status))
    _refuse(layer, file_permissions.configuration_problem(path.parent, sticky=True))


def _guard_drop_in(layer: Layer, folder: Path, main: Layer) -> None:
    if layer.status is None or main.status is None:
        return
    _refuse(layer, file_permissions.file_problem(layer.status))
    _refuse(layer, file_permissions.owner_problem(layer.status, main.status))
    _refuse(layer, file_permissions.configuration_problem(folder, sticky=False))


def _refuse(layer: Layer, problem: str | None) -> None:
    if problem is not None:
        layer.refuse("toml", problem, partial=False)


def read_file(order: int, path: Path) -> Layer:
    """One TOML file as a layer. Never raises."""
    layer = Layer(order, str(path))
    text = read_text(layer, path, "toml")
    if text is None:
        return layer
    layer.document = toml.read(text)
    layer.data = layer.document.data
    layer.partial = bool(layer.document.problems)
    layer.errors = [
        ConfigError(Place(order, problem.line, layer.source), problem.key, problem.problem)
        for problem in layer.document.problems
    ]
    return layer


def read_text(layer: Layer, path: Path, key: str) -> str | None:
    """The file's text; None, with the reason in the layer's errors, if it cannot be had."""
    problem = line = None
    data = b""
    try:
        # Looked at first: opening a pipe would wait for a writer for ever.
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "another kind of file"
            problem = f"expected a regular file, got {kind}"
        else:
            with path.open("rb") as stream:
                layer.status = os.fstat(stream.fileno())  # of what is read, whatever is there now
                data = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        problem = f"expected a readable file, got {_reason(error)}"
    if len(data) > MOST_BYTES:
        problem = f"expected at most {MOST_BYTES} bytes, got more"
    if problem is None:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            problem = f"expected UTF-8, got byte {data[error.start]:#04x}"
    layer.refuse(key, problem, line=line)
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "a name that no file can have"
