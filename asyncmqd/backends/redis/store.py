"""The Redis store: the verbs of the contract, each a script or two."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec

from asyncmqd.backends.base import (
    PAGE,
    RECALLED,
    SEARCH_PAGE,
    Extender,
    Held,
    KeyOutlook,
    Lapsed,
    Outlook,
    StoreError,
    Take,
    Turn,
    Waited,
)
from asyncmqd.backends.redis import encoding
from asyncmqd.backends.redis.adding import Adding
from asyncmqd.backends.redis.calls import RunAll
from asyncmqd.backends.redis.encoding import micros, pages, seconds
from asyncmqd.backends.redis.leases import Renewal
from asyncmqd.backends.redis.operations import RedisOperations
from asyncmqd.backends.redis.scripts import Argument, call
from asyncmqd.backends.redis.shared_trips import Part
from asyncmqd.backends.redis.wakeups import channel_of_recalls
from asyncmqd.domain import os_threads
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.job import Added, Claim, Counts, NewJob, Record
from asyncmqd.domain.key_limits import NEVER
from asyncmqd.domain.rate import Filling
from asyncmqd.domain.selection import HEAD, Mark, Searched, Sought
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.shared_limits import DeclaredLimits, SharedLimits
from asyncmqd.domain.states import LIVE, TERMINAL, State, parked_place

_ENDED = sorted(map(str, TERMINAL))
_PLACES = [*_ENDED, *sorted(map(str, LIVE))]  # all but those of parked jobs


class RedisBackend(RedisOperations):
    """A store in Redis 6.2 or newer, or Valkey; see `address.parse` for the URLs.

    `url` is shown without its password.
    """

    # ------------------------------------------------------------- the way of a job

    def add(self, queue: str, jobs: Sequence[NewJob]) -> Coroutine[Any, Any, list[Added]]:
        return self._add(queue, jobs, self._run_all)

    def add_at_once(self, queue: str, job: Callable[[], NewJob]) -> Added | None:
        if not self._connected or os_threads.patched_by():
            return None
        if (own := self._own_connection()) is None:
            return None

        async def add(run_all: RunAll) -> Added:
            return (await self._add(queue, [job()], run_all))[0]

        return own.run(add)

    async def _add(self, queue: str, jobs: Sequence[NewJob], run_all: RunAll) -> list[Added]:
        if not jobs:
            return []
        adding = Adding(self._address, queue, self._base(queue), jobs)
        if self._clustered:
            commands = adding.commands([partial(self._known, queue)])
        else:
            commands = adding.commands(queues=self._queues)
        return adding.answers(await run_all(commands, again=True))

    async def turn(
        self,
        queue: str,
        changes: Sequence[Change],
        limit: int,
        lease: float,
        worker: str,
        told: DeclaredLimits | None = None,
        sign_up: int = 0,
    ) -> Turn:
        answers: list[Answer] = []
        taken: list[Claim] = []
        limits, opens_in = told, None
        base, most = self._base(queue), self._most
        way = self._ways.here() if self._connected else await self._sure_way()
        common = State.WAITING, State.ACTIVE, micros(lease), way.wakeups.channel, most
        signs = way.wakeups.sign_up(worker, lease, sign_up, most) if sign_up else b""
        for page, room in encoding.steps(changes, limit):
            piece = self._pieces.of(queue)
            args = encoding.turn_args(room, worker, piece, limits, signs, page)
            now, digits, packed, pause, *claimed = await way.turns.run(
                Part(base, args, len(page) + room), common
            )
            if packed:
                limits, opens_in = encoding.judged(packed, pause)
            answers += encoding.answers(digits)
            if claimed:
                names, runs, *strings = claimed
                ids = encoding.ids(names)
                cut = await self._pieces.complete(queue, base, ids, strings, piece, most)
                taken += encoding.claims(queue, now, ids, runs, strings, cut)
        return Turn(answers, taken, limits, opens_in)

    async def declare_limits(
        self, queue: str, limits: SharedLimits, by: str
    ) -> DeclaredLimits | None:
        packed = await self._one("declare_limits", queue, by, msgspec.msgpack.encode(limits))
        return None if packed is None else encoding.limits(packed)

    @property
    def _most(self) -> int:
        """Bytes of a job's string that a claim brings."""
        return encoding.HEADER + self.payload_limit + 1

    async def extend(self, held: Sequence[Held], lease: float) -> list[bool]:
        if not held:
            return []
        renewal = Renewal(self._prefix, held, lease)
        return renewal.answers(await self._run(*renewal.commands))

    async def recall(self) -> None:
        with contextlib.suppress(StoreError):
            await self._link.ask("PUBLISH", channel_of_recalls(self._prefix), RECALLED)

    def extender(self) -> Extender | None:
        self._leases.prepare()
        return self._leases

    # ------------------------------------------------------------------ upkeep

    async def move_due(self, queue: str, page: int = PAGE) -> int:
        moved = await self._one("move_due", queue, State.DELAYED, State.WAITING, min(page, PAGE))
        return int(moved)

    async def end_awaited(self, queue: str, longest: float) -> int:
        return int(await self._one("end_awaited", queue, micros(longest)))

    async def expired(self, queue: str, page: int = PAGE) -> Lapsed:
        page = min(page, PAGE)
        [claims, _] = await self._active(queue, "-inf", "now", page)
        return Lapsed(claims, more=len(claims) >= page)

    async def held(self, queue: str, worker: str) -> list[Claim]:
        found: dict[str, Claim] = {}
        begin: Argument | None = "-inf"
        while begin is not None:
            # From the end of the last lease on, not by offset: renewals move other claims to the
            # back, and offsets would pass over those that stand still.
            claims, last = await self._active(queue, begin, "+inf", PAGE)
            begin = last if len(claims) == PAGE else None
            found.update((each.id, each) for each in claims if each.worker.startswith(worker))
        return list(found.values())

    async def _active(
        self, queue: str, begin: Argument, until: str, page: int
    ) -> tuple[list[Claim], Argument | None]:
        """Claims by the ends of their leases, and the last of these."""
        base, most, piece = self._base(queue), self._most, self._pieces.of(queue)
        args = (State.ACTIVE, begin, until, page, most, piece)
        now, last, *claimed = await self._one("active", queue, *args)
        if not claimed:
            return [], None
        names, runs, *strings = claimed
        ids = encoding.ids(names)
        cut = await self._pieces.complete(queue, base, ids, strings, piece, most)
        return encoding.claims(queue, now, ids, runs, strings, cut), last

    async def unpark(self, queue: str, tasks: Collection[str], page: int = PAGE) -> int:
        if not tasks:
            return 0
        places = sorted(map(parked_place, tasks))
        return int(await self._one("unpark", queue, State.WAITING, min(page, PAGE), *places))

    async def prune(self, queue: str, retention: Retention, page: int = PAGE) -> int:
        limits = (retention.keep_completed, retention.keep_bytes)
        return int(await self._one("prune", queue, min(page, PAGE), *limits, *_ENDED))

    async def outlook(self, queues: Sequence[str]) -> dict[str, Outlook]:
        if not queues:
            return {}
        args = (State.WAITING, State.DELAYED, State.ACTIVE)
        if len(queues) == 1:  # scanners of several queues often look at one moment
            way = self._ways.here() if self._connected else await self._sure_way()
            now, row = await way.outlooks.run(Part(self._base(queues[0])), args)
            return {queues[0]: _outlook(now, *row)}
        replies = await self._run(*(call("outlook", slot, args) for slot in self._slots(queues)))
        rows = [(now, *row) for now, *rows in replies for row in rows]
        return {name: _outlook(*row) for name, row in zip(queues, rows, strict=True)}

    async def outlook_of_key(self, queue: str, key: str) -> KeyOutlook:
        return _outlook_of_key(*await self._one("key_outlook", queue, key))

    async def wait(self, queues: Collection[str], timeout: float) -> set[str]:
        await self._run()
        return await self._wakeups.wait(queues, timeout)

    def take_assigned(self, take: Take) -> None:
        if not self._clustered:  # all its nodes tell of what one of them publishes
            self._wakeups.take = take

    async def wait_ended(self, waited: Waited, timeout: float) -> dict[str, set[str]]:
        await self._run()
        return await self._ways.here().endings.wait(waited, timeout)

    async def retire(self, queue: str) -> None:
        await self._one("retire", queue, State.WAITING, self._wakeups.name)

    # ------------------------------------------------------------------ reading

    @property
    def _readable(self) -> int:
        """The bytes of a job's string that are read: of a longer one, the payload is left out."""
        return encoding.HEADER + self.payload_limit

    async def now(self) -> float:
        [now] = await self._run(call("now", [f"{self._prefix}:queues"]))
        return seconds(now)

    async def get(self, queue: str, ids: Sequence[str]) -> list[Record | None]:
        rows = await self._by_page("get", queue, ids, self._readable, len(_PLACES), *_PLACES)
        return [encoding.record(queue, row) if row else None for row in rows]

    async def _by_page(
        self, name: str, queue: str, ids: Sequence[str], *args: Argument
    ) -> list[Any]:
        """The answers about these jobs; a page is a round trip, for each has a time limit."""
        return [
            answer
            for page in pages(ids, ids)
            for answer in await self._one(name, queue, *args, *page)
        ]

    async def counts(self, queues: Sequence[str]) -> dict[str, Counts]:
        if not queues:
            return {}
        replies = await self._run(*(self._call("counts", queue, *_PLACES) for queue in queues))
        return {queue: _counts(*reply) for queue, reply in zip(queues, replies, strict=True)}

    async def queues(self) -> list[str]:
        [found] = await self._run(("SMEMBERS", f"{self._prefix}:queues"))
        names = sorted(name.decode() for name in found)
        if not names:
            return []
        counts = await self.counts(names)
        scheduled = await self._run(*(("EXISTS", f"{self._base(name)}schedules") for name in names))
        return [
            name
            for name, has_schedules in zip(names, scheduled, strict=True)
            if has_schedules or any(getattr(counts[name], state) for state in _PLACES)
        ]

    async def remove(self, queue: str, ids: Sequence[str]) -> list[bool]:
        places: list[Argument] = [State.ACTIVE, len(_ENDED), len(_PLACES), *_PLACES]
        return [answer == 1 for answer in await self._by_page("remove", queue, ids, *places)]

    async def purge(self, queue: str, state: State, page: int = PAGE) -> int:
        flags = int(state.terminal), int(state is State.WAITING)
        return int(await self._one("purge", queue, state, min(page, PAGE), *flags, State.ACTIVE))

    async def search(
        self,
        queue: str,
        state: State,
        sought: Sought,
        after: Mark | None = None,
        most: int = 100,
        page: int = SEARCH_PAGE,
        *,
        newest_first: bool = False,
    ) -> Searched:
        flags = int(state is State.WAITING), int(newest_first)
        begin = ("", "", "") if after is None else (after.place, repr(after.rank), after.tie)
        until = sought.created_until
        wanted = (
            sought.head,
            HEAD,
            sought.key,
            sought.error,
            "" if until is None else micros(until),
            self._readable,
        )
        reply = await self._one(
            "search", queue, state, *flags, *begin, min(page, SEARCH_PAGE), most, *wanted
        )
        looked, rows, *mark = reply
        return Searched(
            [encoding.record(queue, row) for row in rows],
            looked,
            encoding.mark(*mark) if mark else None,
        )

    async def list(
        self, queue: str, state: State, offset: int = 0, limit: int = 100, *, payloads: bool = True
    ) -> list[Record]:
        records: list[Record] = []
        most = self._readable if payloads else encoding.HEADER
        flags = int(state.terminal), int(state is State.WAITING), most
        for begin in range(offset, offset + limit, PAGE):
            size = min(PAGE, offset + limit - begin)
            rows = await self._one("list", queue, state, begin, size, *flags)
            records += (encoding.record(queue, row) for row in rows)
            if len(rows) < size:
                break
        return records


def _outlook(
    now: int,
    waiting: int,
    due: bytes | None,
    lapse: bytes | None,
    places: Sequence[bytes],
    pause: bytes | None,
    limits: bytes | None,
    ghosts: int,
    arrival: bytes,
    owes_since: bytes,
    closed_keys: int,
    ghost: bytes | None,
) -> Outlook:
    return Outlook(
        now=seconds(now),
        waiting=waiting,
        next_due=None if due is None else seconds(due),
        next_lapse=None if lapse is None else seconds(lapse),
        parked_tasks=tuple(place.decode().removeprefix(parked_place("")) for place in places),
        pause=None if pause is None else encoding.pause(pause),
        limits=None if limits is None else encoding.limits(limits),
        ghosts=ghosts,
        filling=Filling(float(arrival), float(owes_since)),
        closed_keys=closed_keys,
        next_ghost=None if ghost is None else seconds(ghost),
    )


def _outlook_of_key(
    held: int, ends: Sequence[bytes], arrival: bytes, owes_since: bytes, now: int
) -> KeyOutlook:
    ghosts = [float(each) for each in ends]
    gone = sum(each <= now for each in ghosts)
    return KeyOutlook(
        running=held - gone,
        gone=min((each for each in ghosts if each > now), default=NEVER),
        bucket=Filling(float(arrival), float(owes_since)),
    )


def _counts(paused: int, parked: int, keyed: int, *sizes: int) -> Counts:
    found = dict(zip(_PLACES, sizes, strict=True))
    found["waiting"] += parked + keyed
    return Counts(**found, parked=parked, paused=paused == 1)
