"""What a store keeps of a queue, by a look behind the contract: no part contradicts another.

Each store has its own way to hold one fact in two places (a line and a count of it, a job and the
set that says when it goes); a command may leave them apart and show it only much later.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.memory import InMemoryBackend
from asyncmqd.backends.redis import RedisBackend
from asyncmqd.backends.sqlite import SQLiteBackend
from asyncmqd.backends.sqlite.transaction import Snapshot, gate
from asyncmqd.domain.states import KEYED, State, state_of


async def audit(store: BaseBackend, queue: str) -> None:
    """Raises AssertionError for a contradiction."""
    if isinstance(store, InMemoryBackend):
        _audit_memory(store, queue)
    elif isinstance(store, SQLiteBackend):
        await store._read(lambda view: _audit_sqlite(view, queue))
    elif isinstance(store, RedisBackend):
        await _audit_redis(store, queue)


def _audit_memory(store: InMemoryBackend, queue: str) -> None:
    data = store._store.queues[queue]
    kept = [id for line in ("#expiry", "#counted") for id in data.lines[line].ids()]
    ended = [row for row in data.rows.values() if state_of(row.place).terminal]
    assert sorted(kept) == sorted(row.id for row in ended)
    assert data.bytes == sum(row.size for row in ended)
    placed = [id for state in State for id in data.ids_in(state)]
    assert sorted(placed) == sorted(data.rows)
    blocked = {row.id for row in data.rows.values() if row.place == State.BLOCKED}
    assert data.edges._parents.keys() == blocked
    edges = {(parent, child) for child, known in data.edges._parents.items() for parent in known}
    assert edges == {(parent, id) for parent, ids in data.edges._children.items() for id in ids}
    ghosts = {parent for parent, _ in edges if " " in parent}
    assert ghosts <= data.edges.awaited.keys(), "a job that waits for ever"
    lanes = Counter((row.priority, row.key) for row in data.rows.values() if row.place == KEYED)
    levels = data.lanes._levels.items()
    assert lanes == {(p, key): len(each) for p, level in levels for key, each in level.jobs.items()}
    for _, level in levels:
        assert set(level.active.ids()) == level.jobs.keys() - data.lanes.closed.keys()
    assert data.lanes.closed.keys() <= {key for _, key in lanes}, "a closed key without jobs"
    for _, level in levels:
        # The lane of a closed key keeps its tag, though it has jobs.
        assert not set(level.idle.ids()) & set(level.active.ids())


def _audit_sqlite(view: Snapshot, queue: str) -> None:
    rows = view.execute(
        "SELECT place, kept_in, length(payload) + large + length(result) + length(error)"
        " + length(attempts) FROM jobs"
        " WHERE queue = ?",
        (queue,),
    ).fetchall()
    jobs: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for place, kept_in, size in rows:
        assert (kept_in is not None) == state_of(place).terminal
        jobs.update([place] if kept_in is None else [place, kept_in])
        sizes[kept_in or ""] += size if kept_in else 0
    told = view.execute("SELECT line, jobs, bytes FROM tallies WHERE queue = ?", (queue,))
    for line, count, size in told.fetchall():
        assert count == jobs.pop(line, 0), line
        assert size == sizes[line], line
    assert not jobs
    _audit_lanes_of_sqlite(view, queue)
    stray = "SELECT DISTINCT child FROM edges WHERE queue = ? ORDER BY child"
    found = "SELECT id FROM jobs WHERE queue = ? AND place = ? ORDER BY id"
    children = view.execute(stray, (queue,)).fetchall()
    assert children == view.execute(found, (queue, State.BLOCKED)).fetchall()
    ghosts = "SELECT parent FROM edges WHERE queue = :queue AND instr(parent, ' ') > 0"
    lost = f"{ghosts} EXCEPT SELECT ghost FROM awaited WHERE queue = :queue"
    assert not view.execute(lost, {"queue": queue}).fetchall(), "a job that waits for ever"
    apart = view.execute("SELECT job, length(payload) FROM large_payloads").fetchall()
    large = view.execute("SELECT number, large FROM jobs WHERE large").fetchall()
    assert sorted(apart) == sorted(large), "a large payload without its job, or a job without its"


def _audit_lanes_of_sqlite(view: Snapshot, queue: str) -> None:
    counted = view.execute(
        "SELECT lane, priority, job_key, count(*) FROM jobs WHERE queue = ? AND place = ?"
        " GROUP BY 1, 2, 3",
        (queue, KEYED),
    )
    lanes = view.execute(
        "SELECT number, priority, lane, jobs FROM lanes WHERE queue = ? AND jobs", (queue,)
    )
    assert sorted(lanes.fetchall()) == sorted(counted.fetchall()), "a lane of another length"
    stray = "SELECT id FROM jobs WHERE queue = ? AND place <> ? AND lane IS NOT NULL"
    assert not view.execute(stray, (queue, KEYED)).fetchall(), "a lane of a job that waits in none"
    idle = "SELECT lane FROM lanes WHERE queue = ? AND (jobs = 0) <> (activity = 2)"
    assert not view.execute(idle, (queue,)).fetchall(), "a lane that is idle with jobs"
    _audit_permits_of_sqlite(view, queue)
    shut = view.execute("SELECT lane FROM lanes WHERE queue = ? AND activity = 1", (queue,))
    closed = view.execute(
        "SELECT lane FROM lanes JOIN closed_keys USING (queue)"
        " WHERE queue = ? AND lane = job_key AND jobs",
        (queue,),
    )
    keys = view.execute("SELECT job_key FROM closed_keys WHERE queue = ?", (queue,)).fetchall()
    closed = closed.fetchall()
    assert set(keys) == set(closed), "a closed key without jobs"
    assert set(shut.fetchall()) == set(closed), (
        "a lane that is shut though its key is not closed, or not though it is"
    )


def _audit_permits_of_sqlite(view: Snapshot, queue: str) -> None:
    permits = "SELECT id FROM jobs WHERE queue = ? AND permit_key IS NOT NULL"
    active = "SELECT id FROM jobs WHERE queue = ? AND place = ? AND job_key IS NOT NULL"
    held = {id for (id,) in view.execute(permits, (queue,))}
    keyed = {id for (id,) in view.execute(active, (queue, State.ACTIVE))}
    assert held <= keyed, "a permit of a job that does not run"
    _, limits, _ = gate(view, queue)
    if limits is not None and limits.limits.of_keys:
        assert held == keyed, "a job that runs without a permit of its key"


async def _audit_redis(store: RedisBackend, queue: str) -> None:
    base = store._base(queue)
    run = store._link.run
    [parked] = await run(("SMEMBERS", f"{base}shelves"))
    places = [*map(str, State), "keyed", *(each.decode() for each in parked)]
    lines = await run(*(("ZRANGE", f"{base}{place}", 0, -1) for place in places))
    where = {id: place for place, ids in zip(places, lines, strict=True) for id in ids}
    assert len(where) == sum(map(len, lines)), "a job in two places"
    await _audit_lanes_of_redis(store, base)
    ended = {id for id, place in where.items() if place != "keyed" and state_of(place).terminal}
    counted, expiry = await run(
        ("ZRANGE", f"{base}counted", 0, -1), ("ZRANGE", f"{base}expiry", 0, -1)
    )
    assert sorted([*counted, *expiry]) == sorted(ended)
    await _audit_keys(store, base, set(where))
    size, runs = await run(("GET", f"{base}bytes"), ("HGETALL", f"{base}runs"))
    packed = dict(zip(runs[::2], runs[1::2], strict=True))
    assert set(packed) <= set(where), "a run without a job"
    assert int(size or 0) == sum(msgspec.msgpack.decode(packed[id])[2] for id in ended)


async def _audit_edges(store: RedisBackend, base: str, keys: list[bytes]) -> None:
    run = store._link.run
    parents, children = f"{base}parents:".encode(), f"{base}children:".encode()
    edges = set()
    for key in (each for each in keys if each.startswith(parents)):
        [found] = await run(("SMEMBERS", key))
        edges |= {(parent, key.removeprefix(parents)) for parent in found}
    [blocked] = await run(("ZRANGE", f"{base}{State.BLOCKED}", 0, -1))
    assert {child for _, child in edges} == set(blocked)
    back = set()
    for key in (each for each in keys if each.startswith(children)):
        [found] = await run(("ZRANGE", key, 0, -1))
        back |= {(key.removeprefix(children), child) for child in found}
    assert edges == back
    [awaited] = await run(("ZRANGE", f"{base}awaited", 0, -1))
    ghosts = {parent for parent, _ in edges if b" " in parent}
    assert ghosts <= set(awaited), "a job that waits for ever"


async def _audit_lanes_of_redis(store: RedisBackend, base: str) -> None:
    run = store._link.run
    found, keys, levels, closed, held, active, ghosts = await run(
        ("ZRANGE", f"{base}keyed", 0, -1, "WITHSCORES"),
        ("HGETALL", f"{base}keys"),
        ("ZRANGE", f"{base}levels", 0, -1),
        ("ZRANGE", f"{base}closed", 0, -1),
        ("ZRANGE", f"{base}held", 0, -1),
        ("ZRANGE", f"{base}active", 0, -1),
        ("HGETALL", f"{base}ghost_keys"),
    )
    key_of = dict(zip(keys[::2], keys[1::2], strict=True))
    haunted = zip(ghosts[::2], ghosts[1::2], strict=True)
    haunting = {b"%s\0\0%s" % (key, ghost) for ghost, key in haunted}
    holding = {b"%s\0%s" % (key_of[id], id) for id in active if id in key_of}
    assert set(held) == holding | haunting, "other permits of keys than active jobs and ghosts"
    waiting = [(id, int(score) >> 44) for id, score in zip(found[::2], found[1::2], strict=True)]
    lanes = Counter((priority, key_of[id]) for id, priority in waiting)
    taking = {priority for priority, key in lanes if key not in closed}
    assert set(closed) <= {key for _, key in lanes}, "a closed key without jobs"
    assert {int(level) for level in levels} == taking
    for level in map(int, levels):
        ready, idle = await run(
            ("ZRANGE", f"{base}ready:{level}", 0, -1), ("ZRANGE", f"{base}idle:{level}", 0, -1)
        )
        here = {key for priority, key in lanes if priority == level}
        assert set(ready) == here - set(closed)
        assert not set(ready) & set(idle)
        sizes = await run(*(("ZCARD", f"{base}lane:{level}:".encode() + key) for key in ready))
        assert sizes == [lanes[level, key] for key in ready]


async def _audit_keys(store: RedisBackend, base: str, ids: set[bytes]) -> None:
    """Every key belongs to a job that is there, or to the queue."""
    pattern = f"{base}*".replace("{", "[{]")
    [[_, keys]] = await store._link.run(("SCAN", 0, "MATCH", pattern, "COUNT", 1_000_000))
    jobs, left = f"{base}job:".encode(), f"{base}left:".encode()
    assert {key.removeprefix(jobs) for key in keys if key.startswith(jobs)} == ids
    assert {key.removeprefix(left) for key in keys if key.startswith(left)} <= ids
    assert not any(key.startswith(f"{base}part:".encode()) for key in keys), "sent ahead in vain"
    await _audit_edges(store, base, keys)
    keyed, ghosts, laned = await store._link.run(
        ("HKEYS", f"{base}keys"), ("EXISTS", f"{base}ghost_keys"), ("EXISTS", f"{base}laned")
    )
    assert set(keyed) <= ids, "a key without its job"
    [priced] = await store._link.run(("HKEYS", f"{base}costs"))
    assert set(priced) <= ids, "a cost without its job"
    assert bool(keyed or ghosts) == bool(laned), "lanes are looked for in vain, or not at all"
