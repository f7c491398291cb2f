"""The runners of the guide: thin functions over `ProcessContext` and `Worker`.

Cancelling them is the way to stop them. The first cancellation stops claiming, lets running jobs
finish for `drain_timeout` seconds, hands back what is left without charging an attempt, and
re-raises; a second one hands back at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asyncmqd.backends.base import BaseBackend
from asyncmqd.client.connection import configured_scan_interval, resolve
from asyncmqd.client.task_lookup import known_task
from asyncmqd.domain.codec import DEFAULT_PAYLOAD_LIMIT
from asyncmqd.domain.job import Claim
from asyncmqd.domain.options import Seconds, refuse_unknown
from asyncmqd.domain.queue_options import CustomScanner, QueueOptions, of_code
from asyncmqd.domain.schedule import Repeatable, check, check_size
from asyncmqd.runtime.claiming.rate_limiter import RateLimiter
from asyncmqd.runtime.claiming.slots import SharedSlots
from asyncmqd.runtime.handle_job import run_one
from asyncmqd.runtime.queue_wait import Watch
from asyncmqd.runtime.shared_context import shared_context
from asyncmqd.runtime.worker import Worker

Backend = str | BaseBackend | None
CONCURRENCY = 3  # jobs at once of a worker that code starts and that does not say


async def run_worker(
    queue_name: str,
    backend: Backend = None,
    concurrency: int = CONCURRENCY,
    rate_limit: float | None = None,
    rate_interval: Seconds = 1.0,
    repeatables: Sequence[Repeatable | Mapping[str, Any]] | None = None,
    scan_interval: Seconds | None = None,
    *,
    burst: float | None = None,
    scanners: Iterable[CustomScanner] = (),
    drain_timeout: Seconds = 0.0,
    retries: int = 0,
    timeout: Seconds | None = None,
) -> None:
    """Serve one queue completely: jobs, delayed jobs, repeatables, jobs of dead workers.

    - `backend`: URL, instance, or None for the configured one.
    - `concurrency`: jobs at the same time.
    - `rate_limit`: job starts per `rate_interval`; 0: none; None: no limit. `burst`: starts that
      are allowed at once (default `rate_limit`).
    - `repeatables`: dicts with the keys of `queues.toml`, or what `add_repeatable` returned.
    - `scan_interval`: the longest time between two scans while jobs are pending (default: that of
      the queue in the configuration file, else 1.0). A known due moment wakes the scanner, too.
    - `scanners`: your own scanners, each `await scanner(queue_name, backend=..., interval=...)`.
    - `retries` and `timeout`: for tasks that do not set them.
    Times are seconds, text or timedeltas. Raises ValueError "NAME: expected X, got Y".
    """
    store = resolve(backend)
    options = of_code(
        concurrency=concurrency,
        rate_limit=rate_limit,
        rate_interval=rate_interval,
        burst=burst,
        scan_interval=_pace(queue_name, scan_interval),
        drain_timeout=drain_timeout,
        retries=retries,
        timeout=timeout,
        repeatables=as_repeatables(repeatables or (), store.payload_limit),
    )
    async with shared_context(store) as context:
        await Worker(queue_name, context, options, scanners=tuple(scanners)).run()


async def start_worker(
    queue_name: str, concurrency: int = 1, backend: Backend = None, *, drain_timeout: Seconds = 0.0
) -> None:
    """Run `concurrency` consumers of one queue, without a rate limit and repeatables.

    Delayed jobs and retries are promoted, as in `run_worker`.
    """
    await run_worker(
        queue_name, backend=backend, concurrency=concurrency, drain_timeout=drain_timeout
    )


async def worker_loop(queue_name: str, worker_id: int, backend: Backend = None) -> None:
    """The simplest consumer: claim one job, `handle_job`, and again; wait while there is no job.

    `worker_id` is a part of `worker` in its log lines. Delayed jobs are promoted, too.
    """
    store = resolve(backend)
    options = QueueOptions(scan_interval=configured_scan_interval(queue_name))
    async with (
        shared_context(store) as context,
        Watch(queue_name, context, worker_id, options) as watch,
    ):

        async def step() -> None:
            claim = await watch.claim()
            with watch.busy_with(claim):
                await handle_job(queue_name, claim, store)
            context.health.answered()

        await context.health.persistently(step)


async def process_job(
    queue_name: str,
    limiter: asyncio.Semaphore,
    rate_limiter: RateLimiter | None = None,
    backend: Backend = None,
    *,
    drain_timeout: Seconds = 0.0,
) -> None:
    """Claim and run jobs, as many at once as `limiter` and as fast as `rate_limiter` allow.

    Other calls may share both. This call runs until cancelled. It promotes no delayed jobs:
    `delayed_job_scanner` does.
    """
    slots = SharedSlots(limiter)
    store = resolve(backend)
    options = of_code(concurrency=CONCURRENCY, drain_timeout=drain_timeout)
    async with shared_context(store) as context:
        try:
            await Worker(
                queue_name, context, options, slots=slots, limiter=rate_limiter
            ).run_claims()
        finally:
            slots.close()


async def handle_job(
    queue_name: str,  # noqa: ARG001 - the guide's signature; a claim knows its queue
    raw_job: Claim,
    backend: Backend = None,
) -> None:
    """Run one claimed job through its whole life: ttl, time limit, retries, result, log line.

    `raw_job` is what `backend.claim` returned. If this call is cancelled, it hands the job back.
    """
    if not isinstance(raw_job, Claim):
        raise TypeError(f"raw_job: expected a Claim, got {type(raw_job).__name__}")
    store = resolve(backend)
    async with shared_context(store) as context:
        await run_one(context, raw_job, QueueOptions())


async def delayed_job_scanner(
    queue_name: str, backend: Backend = None, interval: Seconds | None = 2.0
) -> None:
    """Promote delayed jobs that are due, and recover the jobs of dead workers, until cancelled.

    `interval` is the longest time between two scans, in seconds, while any job is pending; None: as
    `scan_interval` of `run_worker`.
    """
    options = of_code(concurrency=CONCURRENCY, scan_interval=_pace(queue_name, interval))
    async with shared_context(resolve(backend)) as context:
        await Worker(queue_name, context, options).run_scanner()


async def repeatable_scheduler(
    queue_name: str,
    jobs: Sequence[Repeatable | Mapping[str, Any]],
    backend: Backend = None,
    interval: float | None = None,  # noqa: ARG001 - the guide's signature
) -> None:
    """Enqueue the jobs of schedules at their instants, once over all schedulers, until cancelled.

    `interval` has no effect: the scheduler sleeps until the next instant.
    """
    store = resolve(backend)
    options = QueueOptions(repeatables=as_repeatables(jobs, store.payload_limit))
    async with shared_context(store) as context:
        await Worker(queue_name, context, options).run_scheduler()


def _pace(queue: str, scan_interval: Seconds | None) -> Seconds:
    return configured_scan_interval(queue) if scan_interval is None else scan_interval


def as_repeatables(
    values: Sequence[Repeatable | Mapping[str, Any]], payload_limit: int = DEFAULT_PAYLOAD_LIMIT
) -> tuple[Repeatable, ...]:
    """Schedules from dicts with the keys of `queues.toml`.

    Raises ValueError naming the key, also for arguments that do not fit the task, PayloadTooLarge
    if a schedule's jobs would have more than `payload_limit` bytes, and NotSerialisable.
    """
    return tuple(check_size(_as_repeatable(value), payload_limit) for value in values)


def _as_repeatable(value: Repeatable | Mapping[str, Any]) -> Repeatable:
    if isinstance(value, Repeatable):
        return check(value)
    fields = dict(value)
    if "task_id" in fields:  # what the guide's library calls it
        fields.setdefault("task", fields.pop("task_id"))
    try:
        refuse_unknown(fields, Repeatable.__struct_fields__)
        repeatable = check(Repeatable(**{"task": "", **fields}))
        if (task := known_task(repeatable.task, stacklevel=6)) is not None:
            task.check_call(tuple(repeatable.args), repeatable.kwargs)
    except (ValueError, TypeError) as error:
        raise ValueError(f"repeatable {fields.get('task', '?')}: {error}") from None
    return repeatable
