"""`asyncmq job logs`: what a job logged, from the journal of this host and from its failure."""

from __future__ import annotations

import contextlib
import json
import queue
import shlex
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from asyncmqd.admin.errors import NotFound
from asyncmqd.cli.output import complain, told
from asyncmqd.cli.store_choice import with_store
from asyncmqd.domain.states import State

if TYPE_CHECKING:
    from asyncmqd.admin.jobs import ExplainedJob
    from asyncmqd.backends.base import BaseBackend

LOOK_EVERY = 1.0  # seconds between two looks at the job, while it is followed
_LAST_LINES = 1.0  # seconds that the journal gets for the lines of a job that has ended
_LEVELS = {"7": "debug", "6": "info", "5": "info", "4": "warning", "3": "error"}
_ENDED = {State.COMPLETED, State.FAILED, State.EXPIRED, State.CANCELLED}


def print_log(
    context: typer.Context,
    id: str,
    queue: str | None,
    lines: int,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """Print it; with `follow` until the job has ended, or somebody ends the command."""
    # Before the store: for a SQLite file, root becomes its owner, who may not read the journal.
    journal = Journal(id, queue, lines, follow=follow)
    shown = _Shown(as_json=as_json)

    async def work(store: BaseBackend) -> ExplainedJob | None:
        from asyncmqd.admin import jobs

        async def look() -> ExplainedJob | None:
            with contextlib.suppress(NotFound):
                return await jobs.show(store, id, queue)
            return None

        job = await look()
        if not follow:
            shown.show(deque(_merged(journal.all(), job), lines))
            return job
        return await _follow(job, look, journal, shown)

    with contextlib.closing(journal), contextlib.suppress(KeyboardInterrupt):
        _explain(id, with_store(context, work, queue), journal, shown)


async def _follow(
    job: ExplainedJob | None, look: Any, journal: Journal, shown: _Shown
) -> ExplainedJob | None:
    import asyncio

    while True:
        ended = job is None or job.state in _ENDED
        if ended and journal.is_there:
            await asyncio.sleep(_LAST_LINES)
        shown.show(_merged(journal.news(), job))
        if ended:
            return job
        for _ in range(10):  # what is in the journal comes sooner than the job's failure
            await asyncio.sleep(LOOK_EVERY / 10)
            shown.show(journal.news())
        job = await look()


def _merged(events: Iterable[dict[str, Any]], job: ExplainedJob | None) -> list[dict[str, Any]]:
    """With those that are kept with its failure, in the order of time."""
    kept = job.log or [] if job is not None else []
    return sorted([*events, *kept], key=lambda event: str(event.get("timestamp", "")))


def _explain(id: str, job: ExplainedJob | None, journal: Journal, shown: _Shown) -> None:
    """Why there is nothing, if there is. Raises NotFound if nobody knows the job."""
    if shown:
        return
    if job is None:
        raise NotFound(f"job {id}: there is none of this id, and no line of it in the journal")
    where = "" if job.worker is None else f" on the host of worker {job.worker}"
    reason = journal.problem or "the journal of this host has no line of it"
    complain(
        f"job {id} is {job.state}: {reason}; with a job is kept what its last failed run logged,"
        f" and all else is in the journal{where}: journalctl {shlex.quote(f'JOB_ID={id}')}"
    )


class _Shown:
    """The lines that were printed: those of a failure are in the journal, too."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._known: set[tuple[str, str]] = set()

    def __bool__(self) -> bool:
        return bool(self._known)

    def show(self, events: Iterable[dict[str, Any]]) -> None:
        for event in events:
            key = f"{event.get('timestamp')}", f"{event.get('event')}"[:_SAME]
            if key not in self._known:
                self._known.add(key)
                print(json.dumps(event) if self._as_json else told(event), flush=True)


_SAME = 500  # characters: what is kept with a failure is cut


class Journal:
    """What journalctl says of a job, as events. Of a host without one it is empty."""

    def __init__(self, id: str, queue_name: str | None, lines: int, *, follow: bool) -> None:
        self.problem = ""  # why there may be more
        self._news: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        matches = [f"JOB_ID={id}", *([f"QUEUE={queue_name}"] if queue_name else [])]
        output = ("--output=json", "--all", "--no-pager", f"--lines={lines}")
        following = ("--follow",) if follow else ()
        with contextlib.suppress(OSError):  # there is no journalctl
            self._process = subprocess.Popen(  # noqa: S603 - an id is no option
                ["journalctl", *output, *following, *matches],  # noqa: S607 - hosts differ
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            self._reader.start()

    @property
    def is_there(self) -> bool:
        """Whether it may have further lines."""
        return self._process is not None and self._process.poll() is None

    def all(self) -> Iterator[dict[str, Any]]:
        """All there are; waits for the end of journalctl."""
        if self._process is not None:
            self._reader.join()
            assert self._process.stderr is not None
            if "other users" in self._process.stderr.read().decode(errors="replace"):
                self.problem = "you may not read all of the journal (group systemd-journal)"
        yield from self.news()

    def news(self) -> Iterator[dict[str, Any]]:
        """Those that came since the last call."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._news.get_nowait()

    def close(self) -> None:
        """End journalctl. One that root began, and may not end as the owner of the store, ends
        when its output does: with this command.
        """
        if self._process is not None:
            with contextlib.suppress(PermissionError):
                self._process.kill()
                self._process.wait()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                self._news.put(_event(json.loads(line)))


def _event(entry: dict[str, Any]) -> dict[str, Any]:
    """What was logged; of an entry that somebody else wrote, its text."""
    message = entry.get("MESSAGE")
    if isinstance(message, list):  # bytes that are no text, or that a terminal would obey
        message = bytes(message).decode(errors="backslashreplace")
    with contextlib.suppress(ValueError, TypeError):
        event = json.loads(str(message))
        if isinstance(event, dict):
            return event
    moment = datetime.fromtimestamp(int(entry.get("__REALTIME_TIMESTAMP", 0)) / 1e6, UTC)
    level = _LEVELS.get(str(entry.get("PRIORITY")), "info")
    return {"timestamp": moment.isoformat(), "level": level, "event": f"{message}"}
