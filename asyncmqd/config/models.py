"""What can be configured at the top level: every key with its kind, default and meaning.

Those of a queue are the fields of `QueueOptions`, those of a schedule the fields of `Repeatable`.
Processes of the daemon import this, and not what reads files (tables.py).
`docs/configuration.md` is held to them by a test.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asyncmqd.config import values
from asyncmqd.config.control_socket_path import default_control_socket
from asyncmqd.config.http import Http
from asyncmqd.config.otel import Otel
from asyncmqd.config.values import Secret, choice, period, whole
from asyncmqd.config.webhooks import Webhook
from asyncmqd.domain.codec import DEFAULT_PAYLOAD_LIMIT
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.url_redaction import redacted

LIVE_KEYS = frozenset(
    {"shutdown_timeout", "log_level", "payload_limit", "stuck_limit", "max_concurrency"}
)
"""Top-level keys that a reload applies. All others are read once, at start."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration, checked and frozen."""

    backend: Annotated[
        Secret,
        values.BACKEND,
        "The URL of the store: `sqlite:///path`, `redis://host` and others.",
    ]
    tasks: Annotated[
        tuple[Annotated[str, values.MODULE], ...],
        "Modules that are imported at start. Only their tasks can run.",
    ] = ()
    python_path: Annotated[
        tuple[Annotated[Path, values.DIRECTORY], ...],
        "Absolute directories in which `tasks` and `scanners` are found.",
    ] = ()
    processes: Annotated[
        int,
        whole(1, 256, "processes"),
        "Processes that run jobs, to use several cores; 1: the daemon itself.",
    ] = 1
    max_concurrency: Annotated[
        int | None,
        whole(1, 1_000_000, "jobs"),
        "Jobs of all queues together that run at the same time in this daemon; unset: no limit.",
    ] = None
    shutdown_timeout: Annotated[float, period(), "The time that running jobs get at SIGTERM."] = (
        30.0
    )
    control_socket: Annotated[
        Path,
        values.SOCKET,
        "The socket by which `asyncmqd status` and `reload` reach the daemon.",
    ] = msgspec.field(default_factory=lambda: default_control_socket(os.environ))
    control_group: Annotated[
        Literal["read", "operate"],
        choice("read", "operate"),
        "What the socket's group may do: `read` (status, plan, jobs) or `operate` (all).",
    ] = "read"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        choice("debug", "info", "warning", "error"),
        "Lines below this level are not logged.",
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"],
        choice("auto", "json", "console"),
        "`auto` is `console` on a terminal and `json` elsewhere.",
    ] = "auto"
    lease: Annotated[
        float, period(1.0), "How long a claim is valid without renewal; at least 1."
    ] = 15.0
    hang_limit: Annotated[
        float,
        period(1.0),
        "Leases are not renewed if the loop hangs longer than this; above `lease`.",
    ] = 60.0
    stuck_limit: Annotated[
        int,
        whole(0, 10_000, "functions"),
        "The daemon restarts when this many plain functions are stuck; 0: never.",
    ] = 32
    payload_limit: Annotated[
        int,
        whole(1_024, 256 * 1024 * 1024, "bytes"),
        "The largest size of one payload or result.",
    ] = DEFAULT_PAYLOAD_LIMIT
    otel: Annotated[Otel | None, "The table that turns traces on, with keys of its own."] = None
    http: Annotated[Http, "Whether and how the daemon answers over HTTP."] = Http()
    webhooks: Annotated[
        tuple[Webhook, ...],
        "Where to tell what went wrong; each is a `[[webhooks]]` table.",
    ] = ()
    defaults: Annotated[QueueOptions, "Keys of a queue, for all queues that do not set them."] = (
        QueueOptions()
    )
    queues: Annotated[
        dict[Annotated[str, values.QUEUE], QueueOptions],
        "The queues by name; at least one.",
    ]

    @property
    def served(self) -> dict[str, QueueOptions]:
        """The queues as their workers are told of them: with a `drain_timeout`."""
        return {
            name: queue
            if queue.drain_timeout is not None
            else msgspec.structs.replace(queue, drain_timeout=self.shutdown_timeout)
            for name, queue in self.queues.items()
        }

    @property
    def backend_url(self) -> str:
        """The store's URL as it was written, its password included: for the store only."""
        return self.backend.text

    @property
    def backend_shown(self) -> str:
        """The store's URL for logs and people, without user and password."""
        return redacted(self.backend_url)
