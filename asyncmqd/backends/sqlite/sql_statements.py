"""The statements of the .sql files, by name, and parameters of many values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

import msgspec

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_PART = re.compile(r"\{(\w+)\}")


def read(file: str) -> str:
    """The text of a file beside this one."""
    return resources.files(__package__).joinpath(file).read_text("utf-8")


def load(file: str) -> dict[str, str]:
    """The statements of a file whose blocks begin with `-- name: NAME`.

    `{NAME}` in them is what parts.sql has of this name.
    """
    parts = _blocks("parts.sql")
    return {
        name: _PART.sub(lambda found: parts[found[1]], text) for name, text in _blocks(file).items()
    }


@cache
def _blocks(file: str) -> dict[str, str]:
    _, *found = _NAME.split(read(file))
    return {name: block.strip() for name, block in zip(found[::2], found[1::2], strict=True)}


def of_rows(insert: str, number: int) -> str:
    """The same statement for so many rows: most of what a row costs is its statement's."""
    head, row = insert.rstrip(";").split("VALUES ")
    return f"{head}VALUES {', '.join([row] * number)}"


def plain(value: Any) -> Any:
    """A parameter as sqlite3 binds it at once: -1 for None.

    For any other None, for bytes and for truth values it looks for an adapter first, which takes
    longer than all of a row.
    """
    if value is None:
        return -1
    if isinstance(value, bool):
        return int(value)
    return bytearray(value) if isinstance(value, bytes) else value


def array(ids: Iterable[str]) -> str:
    """Ids as a parameter of a statement: a JSON array, each once."""
    return as_json(list(dict.fromkeys(ids)))


def as_json(value: Any) -> str:
    """A parameter that carries many values."""
    return msgspec.json.encode(value).decode()
