"""What can be configured: every key with its kind, default and meaning.

`docs/configuration.md` is held to these models by a test.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from asyncmqd.config import values
from asyncmqd.config.sockets import default_control_socket
from asyncmqd.config.values import choice, number, of, period, whole
from asyncmqd.domain.codec import DEFAULT_PAYLOAD_LIMIT
from asyncmqd.domain.keywords import ExecutorKind
from asyncmqd.domain.options import EVERY, EXECUTOR, LEAST_PERIOD, PRIORITY, RETRIES, TIMEOUT, TTL
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.urls import redacted

_MOST_KEPT = 10**9
_MOST_STARTS = 1_000_000
_KEPT = Retention()


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class RepeatableSettings(_Table):
    """One `[[queues.NAME.repeatables]]`: a schedule that enqueues a task."""

    task: Annotated[str, values.NAME] = Field(
        description="The registered name of the task to enqueue."
    )
    name: Annotated[str, values.OPTIONAL_NAME] = Field(
        default="",
        description="Tells schedules of one queue apart; empty: the task's name.",
    )
    every: Annotated[float | None, of(EVERY.kind, optional=True)] = Field(
        default=None, description="The period. Set either `every` or `cron`."
    )
    cron: Annotated[str | None, values.CRON] = Field(
        default=None,
        description="Five fields, six with seconds first, or a word like `@daily`.",
    )
    timezone: Annotated[str, values.TIMEZONE] = Field(
        default="UTC", description="The IANA time zone in which `cron` is read."
    )
    args: Annotated[list[Any], values.JSON_ARRAY] = Field(
        default_factory=list, description="Positional arguments of each job."
    )
    kwargs: Annotated[dict[str, Any], values.JSON_TABLE] = Field(
        default_factory=dict, description="Keyword arguments of each job."
    )
    priority: Annotated[int | None, of(PRIORITY.kind, optional=True)] = Field(
        default=None, description="Lower numbers run first. Unset: the task's priority."
    )
    retries: Annotated[int | None, of(RETRIES.kind, optional=True)] = Field(
        default=None,
        description="Runs after the first one. Unset: the task's number, then the queue's.",
    )
    timeout: Annotated[float | None, of(TIMEOUT.kind, optional=True)] = Field(
        default=None,
        description="The time limit of a run; 0: none. Unset: the task's limit, then the queue's.",
    )
    ttl: Annotated[float | None, of(TTL.kind, optional=True)] = Field(
        default=None,
        description="A job that did not start in this time expires. Unset: the task's ttl.",
    )

    @cached_property
    def schedule(self) -> Repeatable:
        """The same as the domain knows it."""
        return Repeatable(**{key: getattr(self, key) for key in type(self).model_fields})


class QueueSettings(_Table):
    """One `[queues.NAME]`, with what `[defaults]` says merged in."""

    concurrency: Annotated[int, whole(1, 10_000, "jobs")] = Field(
        default=10, description="Jobs that run at the same time in this daemon."
    )
    rate_limit: Annotated[float | None, number(0, _MOST_STARTS, "starts", optional=True)] = Field(
        default=None,
        description="Job starts per `rate_interval` in this daemon; 0: none; unset: no limit.",
    )
    rate_interval: Annotated[float, period(LEAST_PERIOD)] = Field(
        default=1.0, description="The period in which `rate_limit` counts."
    )
    burst: Annotated[float | None, number(1, _MOST_STARTS, "starts", optional=True)] = Field(
        default=None,
        description="Job starts allowed at once after a quiet time; unset: `rate_limit`.",
    )
    scan_interval: Annotated[float, period(LEAST_PERIOD)] = Field(
        default=1.0,
        description="The longest time between two scans while jobs are delayed or running.",
    )
    retries: Annotated[int, of(RETRIES.kind)] = Field(
        default=0, description="Runs after the first one, for tasks that do not set it."
    )
    timeout: Annotated[float | None, of(TIMEOUT.kind, optional=True)] = Field(
        default=None, description="The time limit of a run, for tasks that do not set it; 0: none."
    )
    drain_timeout: Annotated[float | None, period(optional=True)] = Field(
        default=None,
        description="The time that running jobs get at a stop; unset: `shutdown_timeout`.",
    )
    executor: Annotated[ExecutorKind, of(EXECUTOR.kind)] = Field(
        default="thread", description="Where plain functions run, for tasks that do not set it."
    )
    scanners: tuple[Annotated[str, values.SCANNER], ...] = Field(
        default=(), description="Custom scanners that run beside the queue, as `module:function`."
    )
    result_ttl: Annotated[float, period()] = Field(
        default=_KEPT.result_ttl, description="How long a result that is not None is kept."
    )
    keep_completed: Annotated[int, whole(0, _MOST_KEPT, "jobs")] = Field(
        default=_KEPT.keep_completed,
        description="How many completed jobs without a result are kept.",
    )
    keep_failed: Annotated[float, period()] = Field(
        default=_KEPT.keep_failed,
        description="How long failed, expired and cancelled jobs are kept.",
    )
    keep_bytes: Annotated[int, whole(0, 2**60, "bytes")] = Field(
        default=_KEPT.keep_bytes,
        description="The most that all ended jobs of the queue may take together.",
    )
    repeatables: tuple[RepeatableSettings, ...] = Field(
        default=(), description="Schedules; each is a `[[queues.NAME.repeatables]]` table."
    )

    @property
    def retention(self) -> Retention:
        """How long ended jobs are kept."""
        return Retention(
            result_ttl=self.result_ttl,
            keep_completed=self.keep_completed,
            keep_failed=self.keep_failed,
            keep_bytes=self.keep_bytes,
        )

    @cached_property
    def schedules(self) -> tuple[Repeatable, ...]:
        """The repeatables as the domain knows them."""
        return tuple(repeatable.schedule for repeatable in self.repeatables)


class Settings(_Table):
    """The whole configuration, checked and frozen."""

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
    defaults: QueueSettings = Field(
        default=QueueSettings(),
        description="Keys of a queue, for all queues that do not set them.",
    )
    queues: dict[Annotated[str, values.QUEUE], QueueSettings] = Field(
        description="The queues by name; at least one."
    )

    @property
    def backend_url(self) -> str:
        """The store's URL as it was written, its password included: for the store only."""
        return self.backend.get_secret_value()

    @property
    def backend_shown(self) -> str:
        """The store's URL for logs and people, without user and password."""
        return redacted(self.backend_url)
