"""What can be configured at the top level: every key with its kind, default and meaning.

Those of a queue are the fields of `QueueOptions`, those of a schedule the fields of `Repeatable`.
`docs/configuration.md` is held to them by a test.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from asyncmqd.config import values
from asyncmqd.config.sockets import default_control_socket
from asyncmqd.config.tables import FromTable
from asyncmqd.config.values import choice, period, whole
from asyncmqd.domain.codec import DEFAULT_PAYLOAD_LIMIT
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.urls import redacted

LIVE_KEYS = frozenset({"shutdown_timeout", "log_level", "payload_limit", "stuck_limit"})
"""Top-level keys that a reload applies. All others are read once, at start."""

_Queue = Annotated[QueueOptions, FromTable()]


class Settings(BaseModel):
    """The whole configuration, checked and frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    backend: Annotated[SecretStr, values.BACKEND] = Field(
        description="The URL of the store: `sqlite:///path`, `redis://host` and others."
    )
    tasks: tuple[Annotated[str, values.MODULE], ...] = Field(
        default=(), description="Modules that are imported at start. Only their tasks can run."
    )
    python_path: tuple[Annotated[Path, values.DIRECTORY], ...] = Field(
        default=(), description="Absolute directories in which `tasks` and `scanners` are found."
    )
    processes: Annotated[int, whole(1, 256, "processes")] = Field(
        default=1,
        description="Processes that run jobs, to use several cores; 1: the daemon itself.",
    )
    shutdown_timeout: Annotated[float, period()] = Field(
        default=30.0, description="The time that running jobs get at SIGTERM."
    )
    control_socket: Annotated[Path, values.SOCKET] = Field(
        default_factory=lambda: default_control_socket(os.environ),
        description="The socket by which `asyncmqd status` and `reload` reach the daemon.",
    )
    control_group: Annotated[Literal["read", "operate"], choice("read", "operate")] = Field(
        default="read",
        description="What the socket's group may do: `read` (status, plan) or `operate` (all).",
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        choice("debug", "info", "warning", "error"),
    ] = Field(default="info", description="Lines below this level are not logged.")
    log_format: Annotated[Literal["auto", "json", "console"], choice("auto", "json", "console")] = (
        Field(default="auto", description="`auto` is `console` on a terminal and `json` elsewhere.")
    )
    lease: Annotated[float, period(1.0)] = Field(
        default=15.0, description="How long a claim is valid without renewal; at least 1."
    )
    hang_limit: Annotated[float, period(1.0)] = Field(
        default=60.0,
        description="Leases are not renewed if the loop hangs longer than this; above `lease`.",
    )
    stuck_limit: Annotated[int, whole(0, 10_000, "functions")] = Field(
        default=32,
        description="The daemon restarts when this many plain functions are stuck; 0: never.",
    )
    payload_limit: Annotated[int, whole(1_024, 256 * 1024 * 1024, "bytes")] = Field(
        default=DEFAULT_PAYLOAD_LIMIT, description="The largest size of one payload or result."
    )
    defaults: _Queue = Field(
        default=QueueOptions(),
        description="Keys of a queue, for all queues that do not set them.",
    )
    queues: dict[Annotated[str, values.QUEUE], _Queue] = Field(
        description="The queues by name; at least one."
    )

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
        return self.backend.get_secret_value()

    @property
    def backend_shown(self) -> str:
        """The store's URL for logs and people, without user and password."""
        return redacted(self.backend_url)
