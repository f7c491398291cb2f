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
from operator import attrgetter
from typing import Any

from asyncmqd.backends.redis.encoding import HEADER, job_args
from asyncmqd.backends.redis.scripts import Argument, Command, Late
from asyncmqd.domain import clock
from asyncmqd.domain.job import MOST_ASSIGNED, NewJob

# Bytes that a script copies in less time than a command takes. What may be assigned is in one
# script with its payload, so it is never sent ahead.
PIECE = MOST_ASSIGNED
_KEPT = 60_000  # milliseconds, far more than one write takes to be carried out
# Bytes of one reply, so that none takes long, also to the limit of the server for what a client has
# not read yet.
_AT_ONCE = 4 * 1024 * 1024
_payload_of = attrgetter("payload")
_NO_HEADER = b" " * HEADER  # add.lua writes it


def is_large(job: NewJob) -> bool:
    """Whether its payload is to be sent ahead of the script."""
    return len(job.payload) > PIECE


def sent_ahead(base: str, jobs: Sequence[NewJob]) -> tuple[str, list[Late]]:
    """The mark of these jobs, and the commands that send large payloads; empty without such."""
    if max(map(len, map(_payload_of, jobs))) <= PIECE:  # no loop of Python's for these
        return "", []
    large = [job for job in jobs if is_large(job)]
    mark = f"part:{clock.nonce()}:"
    return mark, [partial(_set, f"{base}{mark}{job.id}", job) for job in large]


def args_of(job: NewJob, mark: str) -> tuple[Argument, ...]:
    """Of add.lua: in the place of a payload that was sent ahead stands the mark."""
    args = job_args(job)
    return (*args[:-1], mark) if mark and is_large(job) else args


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
        self,
        queue: str,
        base: str,
        ids: Sequence[str],
        strings: list[bytes],
        piece: int | str,
        most: int,
    ) -> dict[int, int]:
        """Put up to `most` bytes in the place of each string of claimed jobs that was cut.

        Returns the whole lengths of those that are still cut, by their place. Raises StoreError.
        `piece` is what `of` said when the claim was sent: another one may have come back meanwhile.
        """
        if max(map(len, strings)) < min(PIECE, most):  # no loop of Python's for these
            self._small.add(queue)
            return {}
        if cut := [at for at, string in enumerate(strings) if len(string) == piece]:
            whole = await self._fetch([f"{base}job:{ids[at]}" for at in cut], most)
            for at, string in zip(cut, whole, strict=True):
                strings[at] = string
        if max(map(len, strings)) > PIECE:
            self._small.discard(queue)
        else:
            self._small.add(queue)
        cut = [at for at, string in enumerate(strings) if len(string) >= most]
        if not cut:
            return {}
        keys = [f"{base}job:{ids[at]}" for at in cut]
        sizes = await self._run(*(("STRLEN", key) for key in keys))
        return dict(zip(cut, sizes, strict=True))

    async def _fetch(self, keys: Sequence[str], most: int) -> list[bytes]:
        """Up to `most` bytes of each string."""
        size = max(1, _AT_ONCE // most)
        strings: list[bytes] = []
        for begin in range(0, len(keys), size):
            page = keys[begin : begin + size]
            strings += await self._run(*(("GETRANGE", key, 0, most - 1) for key in page))
        return strings
