"""The store and the queues of a configuration, and a queue's pace, for who needs nothing else."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.files import read_files
from asyncmqd.config.layers import merged
from asyncmqd.domain.codec import DEFAULT_PAYLOAD_LIMIT
from asyncmqd.domain.options import LEAST_PERIOD, period


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


def has_traces(path: Path) -> bool:
    """Whether a file and its drop-ins have `[otel]`."""
    return "otel" in merged(read_files(path))


def queues_in(path: Path) -> list[str]:
    """The queues that a file and its drop-ins name; what cannot be read names none."""
    queues = merged(read_files(path)).get("queues")
    return list(queues) if isinstance(queues, dict) else []


def scan_interval_in(path: Path, queue: str) -> float | None:
    """The `scan_interval` that a file and its drop-ins have for a queue, or for all, in seconds.

    None if they say none, or nothing that can be read: then the daemon tells.
    """
    keys = merged(read_files(path))
    for table in (_table(keys, "queues", queue), _table(keys, "defaults")):
        if isinstance(table, dict) and "scan_interval" in table:
            with contextlib.suppress(ValueError):
                return float(period(LEAST_PERIOD).check(table["scan_interval"]))
    return None


def _table(keys: dict[str, Any], *path: str) -> Any:
    here: Any = keys
    for part in path:
        here = here.get(part) if isinstance(here, dict) else None
    return here
