"""One call that adds jobs: what it sends, and what the replies mean."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from asyncmqd.backends.base import PAGE, StoreUncertain
from asyncmqd.backends.redis import encoding, large_payloads
from asyncmqd.backends.redis.acl import acl_line
from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.encoding import micros
from asyncmqd.backends.redis.scripts import WAIT, Command, Late, call
from asyncmqd.domain.job import Added, NewJob, Outcome, may_be_assigned
from asyncmqd.domain.states import State

REPLICAS_TIMEOUT = 2.0  # seconds that replicas get to confirm a write
_OUTCOMES: tuple[Outcome, ...] = ("existed", "new", "replaced")  # by what the scripts say

_unique_of, _key_of, _cost_of = map(attrgetter, ("unique", "key", "cost"))


def _priced(jobs: Sequence[NewJob]) -> bool:
    """Whether one costs more than a token."""
    return max(map(_cost_of, jobs), default=1) > 1


def _pages(jobs: Sequence[NewJob]) -> list[Sequence[NewJob]]:
    if len(jobs) <= PAGE:
        return [jobs]
    return [jobs[at : at + PAGE] for at in range(0, len(jobs), PAGE)]


def _named_pages(jobs: Sequence[NewJob]) -> list[Sequence[NewJob]]:
    """The jobs of each script, in order: a page of them, or a single one that has a unique name."""
    pages: list[list[NewJob]] = []
    for job in jobs:
        if not pages or job.unique or pages[-1][0].unique or len(pages[-1]) == PAGE:
            pages.append([])
        pages[-1].append(job)
    return list(pages)


def _are_named(jobs: Sequence[NewJob]) -> bool:
    return any(map(_unique_of, jobs)) or any(map(_key_of, jobs)) or _priced(jobs)


class Adding:
    """The jobs of one queue, on their way into the store."""

    def __init__(self, address: Address, queue: str, base: str, jobs: Sequence[NewJob]) -> None:
        self._address = address
        self._queue = queue
        self._base = base
        self._ahead = 0  # commands before those that add
        self._is_usual = may_be_assigned(jobs)
        self._named = not self._is_usual and _are_named(jobs)
        self._pages = _named_pages(jobs) if self._named else _pages(jobs)

    def commands(self, ahead: Sequence[Late] = (), queues: str = "") -> list[Command | Late]:
        """All in one write; `queues` is the key of the set of all queues, if one may name it."""
        if self._is_usual:
            self._ahead = len(ahead)
            return [*ahead, self._call_one(queues), *self._wait()]
        before: list[Command | Late] = []
        calls: list[Command | Late] = []
        for page in self._pages:
            # For each job alone: no other job of its id gets the payload of one that is not added.
            mark, parts = large_payloads.sent_ahead(self._base, page)
            before += parts
            calls.append(partial(self._call, page, mark, queues))
        before += ahead
        self._ahead = len(before)
        return [*before, *calls, *self._wait()]

    def _call(self, page: Sequence[NewJob], mark: str, queues: str) -> Command:
        args = [arg for job in page for arg in large_payloads.args_of(job, mark)]
        keys = [self._base, queues] if queues else [self._base]
        head = (self._queue, mark)
        if self._named:
            first = page[0]
            name = (
                first.unique,
                int(first.until_claimed),
                micros(first.unique_for),
                first.on_conflict,
                micros(first.push_for),
            )
            special = (*name, encoding.keys_arg(page), encoding.costs_arg(page))
            return call("add_named", keys, (*head, *special, State.WAITING, State.DELAYED, *args))
        return call("add", keys, (*head, State.WAITING, State.DELAYED, *args))

    def _call_one(self, queues: str) -> Command:
        [[job]] = self._pages
        keys = (self._base, queues) if queues else (self._base,)
        return call("add_one", keys, (self._queue, job.id, f"{job.priority:03}", job.payload))

    def _wait(self) -> list[Command]:
        """What has the master answer only when enough replicas have the write before it.

        One that is no master any more by then answers with an error.
        """
        least = self._address.min_replicas
        if not least:
            return []
        limit = min(REPLICAS_TIMEOUT, self._address.timeout / 2)
        return [(WAIT, least, round(limit * 1_000))]

    def answers(self, replies: Sequence[Any]) -> list[Added]:
        """What became of each job. Raises StoreUncertain if too few replicas have them."""
        if self._address.min_replicas:
            self._check_replicas(replies[-1])
        answers: list[Added] = []
        for jobs, (*page, unheard) in zip(self._pages, replies[self._ahead :], strict=False):
            answers += _added(jobs, page)
            if unheard:
                self._warn(unheard.decode())
        return answers

    def _check_replicas(self, count: int) -> None:
        if count < self._address.min_replicas:
            raise StoreUncertain(
                f"{self._address.url}: expected {self._address.min_replicas} replicas to have the"
                f" jobs, got {count} in time; the master has them"
            )

    def _warn(self, reason: str) -> None:
        """The jobs are stored. Python says it once."""
        warnings.warn(
            f"{self._address.url}: nobody can be told of new jobs, so that they start late:"
            f" {reason}; the Redis user needs: {acl_line(self._address)}",
            RuntimeWarning,
            stacklevel=2,
        )


def _added(jobs: Sequence[NewJob], page: Sequence[Any]) -> list[Added]:
    """What one script says of its jobs."""
    if jobs[0].unique:
        id, answer = page
        return [Added(id.decode(), _OUTCOMES[answer])]
    return [Added(job.id, _OUTCOMES[answer]) for job, answer in zip(jobs, page, strict=True)]
