"""The store that a configuration names, for those who need nothing else of it."""

from __future__ import annotations

from pathlib import Path

from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.files import read_files
from asyncmqd.config.layers import merged


def backend_in(path: Path) -> str | None:
    """The key `backend` of a file and its drop-ins, as the daemon reads them; None if unset.

    Raises ConfigErrors if one of them cannot be read: to go on without it could mean another
    store than the daemon's.
    """
    layers = list(read_files(path))
    if errors := [error for layer in layers for error in layer.errors]:
        raise ConfigErrors(errors)
    url = merged(layers).get("backend")
    return url if isinstance(url, str) else None
