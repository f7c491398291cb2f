"""Where the drop folder keeps its files: below $DROPFOLDER, by default ./var/dropfolder."""

from __future__ import annotations

import os
from pathlib import Path


def folder(name: str) -> Path:
    """The directory of that name, made if it is not there.

    - `inbox`: where people put files;
    - `taken/DROP/NAME`: files that a job exists for, until it has archived them;
    - `archive/SHA256.gz`: what was put in, by its content;
    - `reports`: one page a day.
    """
    path = home() / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def catalog() -> Path:
    """The SQLite file that knows what was archived, and the words in it."""
    home().mkdir(parents=True, exist_ok=True)
    return home() / "catalog.db"


def home() -> Path:
    """The directory of all of it."""
    return Path(os.environ.get("DROPFOLDER", "var/dropfolder")).absolute()


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)
