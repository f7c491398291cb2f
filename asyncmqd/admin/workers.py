"""Who serves queues, and what follows from it for a job that waits."""

from __future__ import annotations

from typing import Any

import msgspec

from asyncmqd.admin.time_format import rfc3339
from asyncmqd.backends.base import BaseBackend, WorkerRecord
from asyncmqd.client.result_waits import served_queues, waits
from asyncmqd.domain.did_you_mean import did_you_mean
from asyncmqd.domain.heartbeat import About, Load, Serving, serving_of, unknown

_MOST_NAMES = 5


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A living process that serves queues: a daemon, say."""

    id: str
    host: str | None
    pid: int | None
    queues: dict[str, Load]
    tasks: tuple[str, ...] | None  # None: too many to tell
    started: str | None
    seen: str | None
    memory: int | None  # bytes that are resident
    phase: str | None  # of a daemon: starting, ready or draining; the rest is of daemons, too
    generation: int | None  # of its configuration
    unit: str | None  # of systemd that runs it
    restarts: int | None  # of the unit by systemd itself


async def list_workers(store: BaseBackend) -> list[WorkerView]:
    """The living processes, by id."""
    return [worker_view(record) for record in await store.workers()]


def worker_view(record: WorkerRecord) -> WorkerView:
    """What a store knows of a process."""
    said = serving_of(record.info)
    return WorkerView(
        id=record.id,
        host=said.host or None,
        pid=said.pid or None,
        queues=said.queues or {},
        tasks=said.tasks,
        started=rfc3339(record.started),
        seen=rfc3339(record.seen),
        memory=said.memory or None,
        **about_of(said),
    )


def about_of(said: Serving) -> dict[str, Any]:
    """What a daemon says of itself, for a view; None for what is not known."""
    about = said.about or About()
    return {
        "phase": about.phase or None,
        "generation": about.generation or None,
        "unit": about.unit or None,
        "restarts": about.restarts,
    }


async def probable_mistake(store: BaseBackend, queue: str, task: str) -> str | None:
    """What is probably wrong with the names of a job's queue and task, in words.

    That nobody serves the queue is no mistake as long as nobody serves any: the daemon may start
    later than its producers.
    """
    processes = await waits(store).serving(store)
    served = {name for process in processes for name in process.queues or ()}
    if served and queue not in served:
        near = did_you_mean(queue, served) or f" (served: {_few(sorted(served))})"
        return f"queue {queue}: nobody serves it now{near}"
    problem = unknown(task, queue, processes)
    return problem and f"task {task} in queue {queue}: {problem}"


async def missing_worker(store: BaseBackend, queue: str) -> str | None:
    """That nobody serves any queue, in words. Of one that others serve, the enqueue has told."""
    return None if await served_queues(store) else f"queue {queue}: nobody serves it now"


def _few(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
