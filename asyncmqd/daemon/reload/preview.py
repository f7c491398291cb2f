"""What a reload means for those who wait: when schedules fire next, and which jobs stay behind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.config.diff import Plan
from asyncmqd.domain import clock
from asyncmqd.domain.job import Counts
from asyncmqd.domain.loop_tasks import retrieve_error

ASK_LIMIT = 1.0  # seconds that the store gets; an urgent reload must not wait longer


@dataclass(frozen=True)
class Preview:
    """A plan with what the store says about it, told as lines and as JSON values."""

    lines: list[str]  # changes, then warnings
    warnings: list[str]
    values: dict[str, Any]
    concealed: Preview | None = None  # without the names of keys, if it has any

    def shown(self, *, conceals: bool) -> Preview:
        """As somebody may see it."""
        return (self.concealed or self) if conceals else self


@dataclass(frozen=True)
class _Facts:
    """What the store says, or in its place this host."""

    now: float  # Unix time
    answered: bool = False
    left: Mapping[str, Counts] = field(default_factory=dict)  # jobs by queue about to go


class Previewer:
    """Asks the store what a plan's lines need, and never waits long for it."""

    def __init__(self, backend: BaseBackend) -> None:
        self._backend = backend
        self._asking: asyncio.Task[_Facts] | None = None

    async def of(self, plan: Plan) -> Preview:
        """What the plan means; within `ASK_LIMIT`, whatever the store does."""
        facts = _Facts(clock.wall())
        if plan.removed or plan.schedules:
            facts = await self._ask(plan.removed) or facts
        # In a thread: the instants of many schedules take longer than a job should have to wait.
        return await asyncio.to_thread(_tell_all, plan, facts)

    async def _ask(self, queues: Sequence[str]) -> _Facts | None:
        """The store's facts; None if it does not tell in time.

        A call is never cancelled, since that would cost a connection. Until it returns nobody asks
        again, so that calls to a store that hangs do not pile up.
        """
        try:
            async with asyncio.timeout(ASK_LIMIT):
                while self._asking is not None and not self._asking.done():
                    await asyncio.wait([self._asking])
                asking = self._asking = asyncio.create_task(self._look(queues))
                asking.add_done_callback(retrieve_error)
                return await asyncio.shield(asking)
        except (TimeoutError, StoreError):
            return None

    async def _look(self, queues: Sequence[str]) -> _Facts:
        left = await self._backend.counts(queues) if queues else {}
        return _Facts(await self._backend.now(), answered=True, left=left)


def _tell_all(plan: Plan, facts: _Facts) -> Preview:
    told, concealed = _tell(plan, facts), plan.concealed
    return told if concealed == plan else replace(told, concealed=_tell(concealed, facts))


def _tell(plan: Plan, facts: _Facts) -> Preview:
    warnings = list(filter(None, (_left_behind(queue, facts) for queue in plan.removed)))
    if not facts.answered and any(each.change != "removed" for each in plan.schedules):
        warnings.append("! the store did not answer: next times are by the clock of this host")
    return Preview(
        lines=plan.lines(facts.now) + warnings,
        warnings=warnings,
        values={
            **plan.to_dict(facts.now),
            "jobs_left": {queue: _pending(facts.left.get(queue)) for queue in plan.removed},
            "warnings": warnings,
        },
    )


_STAY = "waiting", "delayed", "blocked"


def _pending(counts: Counts | None) -> dict[str, int] | None:
    if counts is None:
        return None
    return {state: getattr(counts, state) for state in (*_STAY, "active")}


def _left_behind(queue: str, facts: _Facts) -> str | None:
    """The warning for a queue about to go; None if nothing is left in it."""
    if not facts.answered:
        return (
            f"! queue {queue}: the store did not answer;"
            " its jobs would stay, and nobody here runs them"
        )
    counts = facts.left[queue]
    parts = []
    numbers = {state: getattr(counts, state) for state in _STAY}
    if stay := sum(numbers.values()):
        told = ", ".join(f"{number} {state}" for state, number in numbers.items() if number)
        jobs, them = ("jobs stay", "them") if stay > 1 else ("job stays", "it")
        parts.append(f"{told} {jobs} in the store, and nobody here will run {them}")
    if counts.active:
        parts.append(f"{counts.active} active may finish")
    return f"! queue {queue}: {'; '.join(parts)}" if parts else None
