"""Large payloads go past the scripts, which copy a string when it comes and when it goes.

On its way in, a payload is set as a key of its own, `part:<nonce>:<id>`, which `add.lua` renames in
the same write. If that does not happen, it is gone after a minute. Each call draws a nonce, for two
callers may add a job of the same id.

On its way out, a claim brings the beginning, and a plain command the whole. That is a second round
trip, so it is done while claims of the queue bring large ones, and by the first claim of a queue:
calls of other queues wait for the same reply.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

from asyncmqd.backends.redis.encoding import HEADER, job_args
from asyncmqd.backends.redis.scripts import Argument, Command, Late
from asyncmqd.domain import clock
from asyncmqd.domain.job import NewJob

Rows = list[list[Any]]
"""Of each claimed job: id, run, string (see turn.lua), and its whole length if it was cut."""

PIECE = 16 * 1024  # bytes; a script copies that many in less time than a command takes
_KEPT = 60_000  # milliseconds, far more than one write takes to be carried out
_string = itemgetter(2)  # of a row
_payload_of = attrgetter("payload")
_NO_HEADER = b" " * HEADER  # add.lua writes it


def _is_large(job: NewJob) -> bool:
    return len(job.payload) > PIECE


def sent_ahead(base: str, jobs: Sequence[NewJob]) -> tuple[str, list[Late]]:
    """The mark of these jobs, and the commands that send large payloads; empty without such."""
    if max(map(len, map(_payload_of, jobs))) <= PIECE:  # no loop of Python's for these
        return "", []
    large = [job for job in jobs if _is_large(job)]
    mark = f"part:{clock.nonce()}:"
    return mark, [partial(_set, f"{base}{mark}{job.id}", job) for job in large]


def args_of(job: NewJob, mark: str) -> tuple[Argument, ...]:
    """Of add.lua: in the place of a payload that was sent ahead stands the mark."""
    args = job_args(job)
    return (*args[:-1], mark) if mark and _is_large(job) else args


def _set(key: str, job: NewJob) -> Command:
    # Of two jobs of one id in one call the first counts.
    return ("SET", key, _NO_HEADER + job.payload, "NX", "PX", _KEPT)


class Pieces:
    """Knows the queues whose jobs are small, and completes what claims of the others bring."""

    def __init__(self, run: Callable[..., Awaitable[list[Any]]]) -> None:
        self._run = run  # sends commands
        self._small: set[str] = set()  # queues

    def of(self, queue: str) -> int | str:
        """How many bytes of each job's string a claim reads; empty for all."""
        return "" if queue in self._small else PIECE

    async def complete(
        self, queue: str, base: str, rows: Rows, piece: int | str, most: int
    ) -> None:
        """Bring up to `most` bytes of each string of a claim's rows, and how long a longer one is.

        Raises StoreError.
        `piece` is what `of` said when the claim was sent: another one may have come back meanwhile.
        """
        if not rows:
            return
        if max(map(len, map(_string, rows))) < min(PIECE, most):  # no loop of Python's for these
            self._small.add(queue)
            return
        if cut := [row for row in rows if len(row[2]) == piece]:
            keys = [f"{base}job:{row[0].decode()}" for row in cut]
            whole = await self._run(*(("GETRANGE", key, 0, most - 1) for key in keys))
            for row, string in zip(cut, whole, strict=True):
                row[2] = string
        if cut := [row for row in rows if len(row[2]) >= most]:
            sizes = await self._run(*(("STRLEN", f"{base}job:{row[0].decode()}") for row in cut))
            for row, size in zip(cut, sizes, strict=True):
                row.append(size)
        if any(len(row[2]) > PIECE for row in rows):
            self._small.discard(queue)
        else:
            self._small.add(queue)
