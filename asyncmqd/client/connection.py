"""Which store a process enqueues to when it does not say.

All event loops and threads of a process share one instance of a store.
"""

from __future__ import annotations

import os
from pathlib import Path

from asyncmqd.backends.after_fork import keep_for_ever
from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.factory import open_backend
from asyncmqd.domain.codec import DEFAULT_PAYLOAD_LIMIT
from asyncmqd.domain.options import TIMEOUT, Seconds

CONFIG_FILE = Path("/etc/asyncmq/queues.toml")
DEFAULT_SCAN_INTERVAL = 1.0  # seconds
MOST_WITH_THREADS = 8  # stores of a process that keep threads and files


class NotConfigured(RuntimeError):
    """No store is named: not in code, not in the environment, and not in a configuration file."""


_default: tuple[str, int] | BaseBackend | None = None  # a URL and its payload limit, or an instance
_instances: dict[tuple[str, int], BaseBackend] = {}  # by URL and payload limit


def connect(
    backend: str | BaseBackend | None = None, *, timeout: Seconds | None = None
) -> BaseBackend:
    """Set the store that this process's tasks and queues use from now on, and return it.

    `backend` is a URL or an instance. None means the configured store: that of the last `connect`,
    then ASYNCMQD_BACKEND, then the key `backend` of ASYNCMQD_CONFIG or /etc/asyncmq/queues.toml.
    From a file comes its `payload_limit`, too; elsewhere that is 256 KiB. `timeout` is for the URL
    of a Redis or SQLite: the seconds that a call may take, or text like "5s". If neither sets it, a
    call of Redis may take 5 seconds, and a call of SQLite 20. The store is not contacted yet.
    Raises NotConfigured, or ValueError for a URL that names no store and for a wrong `timeout`.
    """
    global _default  # noqa: PLW0603 - one default store a process is what this function is for
    if timeout is not None:
        if not isinstance(backend, str) or backend.startswith("memory:"):
            raise ValueError("timeout: expected the URL of a Redis or SQLite beside it, got none")
        seconds = float(TIMEOUT.check(timeout))
        backend = f"{backend}{'&' if '?' in backend else '?'}timeout={seconds:g}"
    chosen = resolve(backend)
    if backend is not None:
        _default = (backend, DEFAULT_PAYLOAD_LIMIT) if isinstance(backend, str) else backend
    return chosen


def connect_within(url: str, payload_limit: int) -> None:
    """The same with a payload limit, from a configuration: nothing is opened yet."""
    global _default  # noqa: PLW0603 - the same
    _default = url, payload_limit


def _after_fork() -> None:
    """A forked child has neither the threads nor the event loops of its parent's instances."""
    global _default  # noqa: PLW0603 - the same
    for instance in (*_instances.values(), _default):
        keep_for_ever(instance)
    _instances.clear()
    if isinstance(_default, BaseBackend) and not _default.url.startswith("memory:"):
        _default = _default.secret_url, _default.payload_limit


os.register_at_fork(after_in_child=_after_fork)


def resolve(backend: str | BaseBackend | None) -> BaseBackend:
    """The store meant by a URL, an instance or None."""
    if backend is not None:
        return backend if isinstance(backend, BaseBackend) else instance(backend)
    named = _default or configured()
    return instance(*named) if isinstance(named, tuple) else named


def configured() -> tuple[str, int]:
    """The URL that environment or configuration name, and the payload limit that goes with it.

    Raises NotConfigured.
    """
    if url := os.environ.get("ASYNCMQD_BACKEND"):
        return url, DEFAULT_PAYLOAD_LIMIT
    path = Path(os.environ.get("ASYNCMQD_CONFIG", CONFIG_FILE))
    url, limit = _keys_in(path) if path.exists() else (None, 0)
    if url is None:
        raise NotConfigured(
            "no store is configured: expected connect(URL), ASYNCMQD_BACKEND,"
            f" or the key `backend` in {path}"
        )
    return url, limit


def configured_scan_interval(queue: str) -> float:
    """What the configuration file says of a queue's `scan_interval`, in seconds; else 1.0."""
    path = Path(os.environ.get("ASYNCMQD_CONFIG", CONFIG_FILE))
    if not os.access(path, os.R_OK):
        return DEFAULT_SCAN_INTERVAL
    from asyncmqd.config.backend import scan_interval_in

    return scan_interval_in(path, queue) or DEFAULT_SCAN_INTERVAL


def _keys_in(path: Path) -> tuple[str | None, int]:
    # Imported here: who names the store in code reads no configuration.
    from asyncmqd.config.backend import store_in
    from asyncmqd.config.errors import ConfigErrors

    try:
        return store_in(path)
    except ConfigErrors as errors:
        raise NotConfigured(str(errors)) from None


def instance(url: str, payload_limit: int = DEFAULT_PAYLOAD_LIMIT) -> BaseBackend:
    """That of this process for a URL and a payload limit. Raises ValueError."""
    known = _instances.get((url, payload_limit))
    if known is not None:
        return known
    opened = open_backend(url, payload_limit)
    _close_oldest(opened)
    return _instances.setdefault((url, payload_limit), opened)


def _close_oldest(opened: BaseBackend) -> None:
    """Make room for one more that has threads and files: tests make a store each."""
    if opened.has_threads:
        those = [key for key, each in list(_instances.items()) if each.has_threads]
        for key in those[: 1 - MOST_WITH_THREADS]:
            _instances.pop(key, None)  # whoever is using it goes on with it
