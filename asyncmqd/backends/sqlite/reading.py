"""The verbs that only read, inside a snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from asyncmqd.backends.base import KeyOutlook, Lapsed, Outlook
from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.clock import seconds
from asyncmqd.backends.sqlite.free_disk_space import Extent
from asyncmqd.backends.sqlite.keys import ShownKeys
from asyncmqd.backends.sqlite.moves import claim_of, parked, places
from asyncmqd.backends.sqlite.sql_statements import array
from asyncmqd.backends.sqlite.transaction import Snapshot, filling, gate, ghosts, tallies
from asyncmqd.backends.sqlite.unique_names import Names
from asyncmqd.domain.job import Claim, Counts, Record
from asyncmqd.domain.pause import Pause
from asyncmqd.domain.rate import FULL
from asyncmqd.domain.states import KEYED, State, parked_place, state_of

_SQL = sql_statements.load("reading.sql")


def is_slow(view: Snapshot) -> bool:
    """Whether the store's time waits for the host's clock to catch up."""
    return bool(view.anchor.slow)


def now(view: Snapshot) -> float:
    """See `BaseBackend.now`."""
    return seconds(view.time)


def extent(view: Snapshot) -> Extent:
    """How long the database is, and how much of it is free."""
    page, pages, free = (
        view.execute(f"PRAGMA {each}").fetchone()[0]
        for each in ("page_size", "page_count", "freelist_count")
    )
    return Extent(page * pages, page * free)


def expired(view: Snapshot, queue: str, page: int, most: int) -> Lapsed:
    """See `BaseBackend.expired`."""
    wanted = {"queue": queue, "place": State.ACTIVE, "since_boot": view.since_boot}
    rows = view.execute(_SQL["lapsed"], {**wanted, "page": page, "most": most})
    claims = [claim_of(view, queue, row) for row in rows]
    return Lapsed(claims, more=len(claims) >= page)


def held(view: Snapshot, queue: str, worker: str, most: int) -> list[Claim]:
    """See `BaseBackend.held`."""
    wanted = {"queue": queue, "place": State.ACTIVE, "worker": worker, "most": most}
    rows = view.execute(_SQL["held"], wanted)
    return [claim_of(view, queue, row) for row in rows]


def outlook(view: Snapshot, queues: Sequence[str]) -> dict[str, Outlook]:
    """See `BaseBackend.outlook`."""
    return {queue: _outlook(view, queue) for queue in queues}


def _outlook(view: Snapshot, queue: str) -> Outlook:
    lines = tallies(view, queue)
    waiting = sum(lines.get(place, (0, 0))[0] for place in (State.WAITING, KEYED))
    pause = _pause(view, queue)
    _, limits, _ = gate(view, queue)
    due, lapse = _first(view, queue, State.DELAYED), _first(view, queue, State.ACTIVE)
    return Outlook(
        now=seconds(view.time),
        waiting=0 if pause else waiting,
        next_due=None if due is None else seconds(due),
        next_lapse=None if lapse is None else seconds(view.date_of_lease(lapse)),
        parked_tasks=tuple(line.removeprefix(parked_place("")) for line in parked(lines)),
        pause=pause,
        limits=limits,
        ghosts=ghosts(view, queue)[0],
        filling=FULL if limits is None else filling(view, queue),
        closed_keys=0 if limits is None else _closed_keys(view, queue),
        next_ghost=_next_ghost(view, queue),
    )


def _next_ghost(view: Snapshot, queue: str) -> float | None:
    (until,) = view.execute(_SQL["next_ghost"], (queue,)).fetchone()
    return None if until is None else seconds(view.date_of_lease(until))


def _closed_keys(view: Snapshot, queue: str) -> int:
    (number,) = view.execute(_SQL["closed_keys"], (queue,)).fetchone()
    return int(number)


def outlook_of_key(view: Snapshot, queue: str, key: str) -> KeyOutlook:
    """See `BaseBackend.outlook_of_key`."""
    keys = ShownKeys(view, queue)
    return KeyOutlook(*keys.held(key), keys.filling(key))


def _pause(view: Snapshot, queue: str) -> Pause | None:
    row = view.execute(_SQL["pause"], (queue,)).fetchone()
    if row is None:
        return None
    since, by, reason = row
    return Pause(since=None if since is None else seconds(since), by=by, reason=reason)


def _first(view: Snapshot, queue: str, state: State) -> int | None:
    rank: int | None
    (rank,) = view.execute(_SQL["first_rank"], (queue, state)).fetchone()
    return rank


def get(view: Snapshot, queue: str, ids: Sequence[str], readable: int) -> list[Record | None]:
    """See `BaseBackend.get`."""
    wanted = {"ids": msgspec.json.encode(ids).decode(), "queue": queue, "readable": readable}
    rows = view.execute(_SQL["records"], wanted)
    found = with_others(view, queue, [record_of(view, queue, row) for row in rows])
    records = {record.id: record for record in found}
    return [records.get(id) for id in ids]


def page(
    view: Snapshot, queue: str, state: State, offset: int, limit: int, readable: int
) -> list[Record]:
    """See `BaseBackend.list`."""
    query = _SQL["page_backwards" if state.terminal else "page"]
    lines = tallies(view, queue)
    records: list[Record] = []
    wanted = {"queue": queue, "readable": readable}
    for place in places(lines, state):
        part = {"place": place, "limit": limit - len(records), "offset": offset}
        rows = view.execute(query, {**wanted, **part})
        records += (record_of(view, queue, row) for row in rows)
        offset = max(0, offset - lines.get(place, (0, 0))[0])
    return with_others(view, queue, records)


def with_others(view: Snapshot, queue: str, records: list[Record]) -> list[Record]:
    """Each with the jobs that keep it: the holder of its name, and those that it waits for."""
    records = _with_holders(view, queue, records)
    blocked = [each.id for each in records if each.state is State.BLOCKED]
    if not blocked:
        return records
    found: defaultdict[str, list[str]] = defaultdict(list)
    for child, parent in view.execute(_SQL["parents"], (queue, array(blocked))):
        found[child].append(parent)
    return [
        msgspec.structs.replace(each, waits_for=tuple(sorted(found[each.id]))) for each in records
    ]


def _with_holders(view: Snapshot, queue: str, records: list[Record]) -> list[Record]:
    """Each with the job that holds its unique name now."""
    holders = Names(view, queue).holders(each.unique for each in records if each.unique)
    if not holders:
        return records
    return [msgspec.structs.replace(each, holder=holders.get(each.unique, "")) for each in records]


def record_of(view: Snapshot, queue: str, row: Sequence[Any]) -> Record:
    """A record from the columns of `record`. Raises ValueError if a damaged file has others."""
    id, place, rank, payload, priority, token, failures, crashes, solo, created, started, *rest = (
        row
    )
    worker, error, result, progress, unique, key, cost = rest
    state = state_of(place)
    record = {
        "queue": queue,
        "id": id,
        "place": State.WAITING if place == KEYED else place,
        "payload": payload,
        "priority": priority,
        "token": token,
        "failures": failures,
        "crashes": crashes,
        "solo": bool(solo),
        "created": seconds(created),
        "due": _due(view, state, rank),
        "started": None if started is None else seconds(started),
        "finished": seconds(rank) if state.terminal else None,
        "worker": worker,
        "error": error,
        "result": result,
        "progress": progress,
        "unique": unique,
        "key": key,
        "cost": cost,
    }
    return msgspec.convert(record, Record)


def _due(view: Snapshot, state: State, rank: int) -> float | None:
    if state is State.DELAYED:
        return seconds(rank)
    return seconds(view.date_of_lease(rank)) if state is State.ACTIVE else None


def counts(view: Snapshot, queues: Sequence[str]) -> dict[str, Counts]:
    """See `BaseBackend.counts`."""
    return {queue: _counts(view, queue) for queue in queues}


def _counts(view: Snapshot, queue: str) -> Counts:
    lines = tallies(view, queue)
    number = sum(lines[place][0] for place in parked(lines))
    sizes = {str(state): lines.get(state, (0, 0))[0] for state in State}
    sizes["waiting"] += number + lines.get(KEYED, (0, 0))[0]
    return Counts(**sizes, parked=number, paused=gate(view, queue)[0])


def queues(view: Snapshot) -> list[str]:
    """See `BaseBackend.queues`."""
    return [queue for (queue,) in view.execute(_SQL["queues"])]
