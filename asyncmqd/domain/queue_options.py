"""`QueueOptions`: every key of a queue, told once, from `queues.toml` to the worker.

A field is a key: its type, the kind of value that a file may give, what it means, its default. The
reader of files, `plan`, the pages of docs and the workers go by these fields. A new key is a new
field here, and whatever uses it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, get_args, get_type_hints

import msgspec

from asyncmqd.domain.options import (
    EXECUTOR,
    KEY,
    LEAST_PERIOD,
    RETRIES,
    TIMEOUT,
    Kind,
    matching,
    number,
    period,
    whole,
)
from asyncmqd.domain.retry import DEFAULT_BACKOFF
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.settle import Policy, Retention
from asyncmqd.domain.shared_limits import NO_KEY_LIMITS, KeyLimits, SharedLimits
from asyncmqd.domain.tasks import TaskDef
from asyncmqd.domain.typed_keywords import ExecutorKind

FIXED_KEYS = frozenset({"scanners"})
"""Keys that a worker has from its start: a change needs a new one. The others change in place."""

CustomScanner = Callable[..., Awaitable[Any]]
"""What `scanners` name: `await scanner(queue_name, backend=..., interval=...)`, until cancelled."""

_MOST_KEPT = 10**9
_MOST_STARTS = 1_000_000
_MOST_ACTIVE = 1_000_000
_KEPT = Retention()
_DOTTED = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_SCANNER = matching(
    re.compile(f"{_DOTTED}:{_DOTTED}"), "module:function like 'myapp.scanners:inbox'"
)


WEBHOOK = matching(
    re.compile(r"[a-z0-9][a-z0-9_-]{0,49}"), "up to 50 small letters, digits, - and _"
)

_KEY_CONCURRENCY = whole(0, _MOST_ACTIVE, "jobs")
_KEY_RATE = number(0, _MOST_STARTS, "starts")
_KEY_BURST = number(1, _MOST_STARTS, "starts")


class KeyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One `[queues.NAME.keys."KEY"]`: what is other than for each key."""

    key_concurrency: Annotated[
        int | None, _KEY_CONCURRENCY, "As in the queue, for this key; unset: the queue's."
    ] = None
    key_rate_limit: Annotated[
        float | None, _KEY_RATE, "As in the queue, for this key; unset: the queue's."
    ] = None
    key_rate_interval: Annotated[
        float | None, period(LEAST_PERIOD), "As in the queue, for this key; unset: the queue's."
    ] = None
    key_burst: Annotated[
        float | None, _KEY_BURST, "As in the queue, for this key; unset: the queue's."
    ] = None
    weight: Annotated[
        float,
        number(0.01, 100, "turns"),
        "Turns that this key gets for one of another, from 0.01 to 100.",
    ] = 1.0


_ALIKE = KeyOptions()


class QueueOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One `[queues.NAME]` with what `[defaults]` says, or the share of it that a process has."""

    concurrency: Annotated[
        int, whole(1, 10_000, "jobs"), "Jobs that run at the same time in this daemon."
    ] = 10
    weight: Annotated[
        int,
        whole(1, 1_000),
        "Its part of `max_concurrency`: a queue of weight 3 has three times the slots of one of"
        " weight 1. From 1 to 1000.",
    ] = 1
    global_concurrency: Annotated[
        int | None,
        whole(0, _MOST_ACTIVE, "jobs"),
        "Jobs that run at the same time in all daemons of the store; 0: none; unset: no limit.",
    ] = None
    global_rate_limit: Annotated[
        float | None,
        number(0, _MOST_STARTS, "starts"),
        "Job starts per `global_rate_interval` in all daemons of the store; 0: none; unset: no"
        " limit.",
    ] = None
    global_rate_interval: Annotated[
        float, period(LEAST_PERIOD), "The period in which `global_rate_limit` counts."
    ] = 1.0
    global_burst: Annotated[
        float | None,
        number(1, _MOST_STARTS, "starts"),
        "Job starts allowed at once after a quiet time in all daemons; unset: `global_rate_limit`.",
    ] = None
    key_concurrency: Annotated[
        int | None,
        _KEY_CONCURRENCY,
        "Jobs of each key that run at the same time in all daemons of the store; 0: none; unset: no"
        " limit.",
    ] = None
    key_rate_limit: Annotated[
        float | None,
        _KEY_RATE,
        "Starts of jobs of each key per `key_rate_interval` in all daemons of the store; 0: none;"
        " unset: no limit.",
    ] = None
    key_rate_interval: Annotated[
        float, period(LEAST_PERIOD), "The period in which `key_rate_limit` counts."
    ] = 1.0
    key_burst: Annotated[
        float | None,
        _KEY_BURST,
        "Starts of jobs of a key allowed at once after a quiet time; unset: `key_rate_limit`.",
    ] = None
    keys: Annotated[
        dict[Annotated[str, KEY.kind], KeyOptions],
        'Single keys with limits of their own; each is a `[queues.NAME.keys."KEY"]` table.',
    ] = {}
    rate_limit: Annotated[
        float | None,
        number(0, _MOST_STARTS, "starts"),
        "Job starts per `rate_interval` in this daemon; 0: none; unset: no limit.",
    ] = None
    rate_interval: Annotated[
        float, period(LEAST_PERIOD), "The period in which `rate_limit` counts."
    ] = 1.0
    burst: Annotated[
        float | None,
        number(1, _MOST_STARTS, "starts"),
        "Job starts allowed at once after a quiet time; unset: `rate_limit`.",
    ] = None
    scan_interval: Annotated[
        float,
        period(LEAST_PERIOD),
        "The longest time between two scans while jobs are delayed or running.",
    ] = 1.0
    retries: Annotated[
        int, RETRIES.kind, "Runs after the first one, for tasks that do not set it."
    ] = 0
    timeout: Annotated[
        float | None,
        TIMEOUT.kind,
        "The time limit of a run, for tasks that do not set it; 0: none.",
    ] = None
    drain_timeout: Annotated[
        float | None,
        period(),
        "The time that running jobs get at a stop; unset: `shutdown_timeout`.",
    ] = None
    executor: Annotated[
        ExecutorKind,
        EXECUTOR.kind,
        "`process`: all functions run in child processes; `thread`: plain ones run in threads,"
        " async ones in the loop. For tasks that do not set it.",
    ] = "thread"
    scanners: Annotated[
        tuple[Annotated[str, _SCANNER], ...],
        "Custom scanners that run beside the queue, as `module:function`.",
    ] = ()
    webhooks: Annotated[
        tuple[Annotated[str, WEBHOOK], ...] | None,
        "Names of the `[[webhooks]]` that are told of this queue; `[]`: none; unset: those whose"
        " `queues` say so.",
    ] = None
    result_ttl: Annotated[float, period(), "How long a result that is not None is kept."] = (
        _KEPT.result_ttl
    )
    keep_completed: Annotated[
        int, whole(0, _MOST_KEPT, "jobs"), "How many completed jobs without a result are kept."
    ] = _KEPT.keep_completed
    keep_failed: Annotated[
        float, period(), "How long failed, expired and cancelled jobs are kept."
    ] = _KEPT.keep_failed
    keep_bytes: Annotated[
        int,
        whole(0, 2**60, "bytes"),
        "The most that all ended jobs of the queue may take together.",
    ] = _KEPT.keep_bytes
    repeatables: Annotated[
        tuple[Repeatable, ...], "Schedules; each is a `[[queues.NAME.repeatables]]` table."
    ] = ()

    @property
    def retention(self) -> Retention:
        """How long ended jobs are kept."""
        return Retention(**{key: getattr(self, key) for key in Retention.__struct_fields__})

    @property
    def shared_limits(self) -> SharedLimits:
        """The limits that hold over all daemons."""
        has_rate, each = self.global_rate_limit is not None, self.limits_of(_ALIKE)
        return SharedLimits(
            concurrency=self.global_concurrency,
            rate_limit=self.global_rate_limit,
            rate_interval=self.global_rate_interval if has_rate else 1.0,
            burst=self.global_burst if has_rate else None,
            each_key=None if each == NO_KEY_LIMITS else each,
            keys={key: self.limits_of(own) for key, own in sorted(self.keys.items())},
        )

    def limits_of(self, own: KeyOptions) -> KeyLimits:
        """Those of a key with these options: what it does not set is as for each key."""
        rate = self.key_rate_limit if own.key_rate_limit is None else own.key_rate_limit
        has_rate = rate is not None
        return KeyLimits(
            concurrency=self.key_concurrency
            if own.key_concurrency is None
            else own.key_concurrency,
            rate_limit=rate,
            rate_interval=own.key_rate_interval or self.key_rate_interval if has_rate else 1.0,
            burst=own.key_burst or self.key_burst if has_rate else None,
            weight=own.weight,
        )

    @property
    def drain_limit(self) -> float:
        """Seconds that running jobs get when the worker stops; unset is none."""
        return self.drain_timeout or 0.0

    def needs_new_worker(self, other: QueueOptions) -> bool:
        """Whether a worker that was started with `other` cannot change to these in place."""
        return any(getattr(self, key) != getattr(other, key) for key in FIXED_KEYS)

    def policy(self, task: TaskDef | None, retries: int | None) -> Policy:
        """The rules for a job: what it asked for, then what its task declares, then the queue."""
        if task is None:
            return Policy(retention=self.retention)
        declared = task.options
        if retries is None:
            retries = self.retries if declared.retries is None else declared.retries
        return Policy(
            retries=retries,
            backoff=declared.backoff or DEFAULT_BACKOFF,
            retry_on=declared.retry_on,
            dont_retry_on=declared.dont_retry_on,
            retention=self.retention,
        )

    def time_limit(self, task: TaskDef, timeout: float | None) -> float | None:
        """Seconds for one run, looked up in the same order; None means no limit."""
        for value in (timeout, task.options.timeout, self.timeout):
            if value is not None:
                return value or None
        return None


def of_code(**given: Any) -> QueueOptions:
    """Options that code gives, held to what a file may give. None where a key may be unset.

    Raises ValueError "KEY: expected X, got Y", before anything runs with them.
    """
    hints = get_type_hints(QueueOptions, include_extras=True)
    return QueueOptions(**{key: _checked(key, hints[key], value) for key, value in given.items()})


def _checked(key: str, hint: Any, value: Any) -> Any:
    kind = next((each for each in hint.__metadata__ if isinstance(each, Kind)), None)
    if kind is None or (value is None and type(None) in get_args(get_args(hint)[0])):
        return value
    try:
        return kind.check(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
