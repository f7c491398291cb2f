"""The store that a configuration names, for those who need nothing else of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.files import read_files
from asyncmqd.config.layers import merged
from asyncmqd.domain.codec import DEFAULT_PAYLOAD_LIMIT


class StoreKeys(NamedTuple):
    """The keys of a configuration that matter to whoever enqueues."""

    url: str | None  # None if unset
    payload_limit: int  # bytes


def store_in(path: Path) -> StoreKeys:
    """`backend` and `payload_limit` of a file and its drop-ins, as the daemon reads them.

    Raises ConfigErrors if one of them cannot be read: to go on without it could mean another
    store than the daemon's.
    """
    layers = list(read_files(path))
    if errors := [error for layer in layers for error in layer.errors]:
        raise ConfigErrors(errors)
    keys = merged(layers)
    url, limit = keys.get("backend"), keys.get("payload_limit")
    if not isinstance(limit, int):  # if it is wrong, the daemon says so
        limit = DEFAULT_PAYLOAD_LIMIT
    return StoreKeys(url if isinstance(url, str) else None, limit)
