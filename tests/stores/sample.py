"""A store with a job in every state and a schedule of every kind, and all that it shows of them."""

from __future__ import annotations

from typing import Any

import msgspec

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.change import Change
from asyncmqd.domain.history import Period
from asyncmqd.domain.job import Claim, NewJob
from asyncmqd.domain.marks import Mark, encode
from asyncmqd.domain.pause import Pause
from asyncmqd.domain.shared_limits import SharedLimits
from asyncmqd.domain.states import State

QUEUES = ("mail", "reports")
LEASE = 3_600.0  # seconds


def payload(id: str) -> bytes:
    """A job that a later release wrote: with two fields that this one does not know."""
    args = ["x" * 3_000] if id.startswith("large") else []
    spec = {"id": id, "task": "mark", "args": args, "trace": "00-4bf92f", "tenant": {"name": "é"}}
    return msgspec.json.encode(spec)


def job(id: str, priority: int = 5, delay: float = 0.0) -> NewJob:
    return NewJob(id=id, payload=payload(id), priority=priority, delay=delay)


def change(claim: Claim, edge: str, **fields: Any) -> Change:
    return Change(queue=claim.queue, id=claim.id, edge=edge, token=claim.token, **fields)


_TOLD = b'{"edge":"retry","number":1,"worker":"host-1/abc#1"}'
_ENDS: dict[str, dict[str, Any]] = {
    "succeed": {"result": b'{"sum":"12.30"}', "keep": 1e9},
    "fail": {"failures": 3, "error": b'{"type":"OSError","message":"\xc3\xa9"}'},
    "expire": {},
    "cancel": {"outside": True},
    "retry": {
        "failures": 1,
        "error": b'{"type":"E","message":"x"}',
        "delay": 5_000.0,
        "attempt": _TOLD,
    },
    "release": {},
    "park": {"place": f"{State.WAITING}:mod.unknown"},
    "recover": {"outside": True, "crashes": 2, "solo": True},
    "quarantine": {"outside": True, "crashes": 3, "error": b'{"type":"Crash","message":"3"}'},
    "update": {"progress": b'{"done":7}'},
}


async def fill(store: BaseBackend) -> None:
    """Write the sample into an empty store."""
    for edge, fields in _ENDS.items():
        await store.add("mail", [job(edge)])
        [claim] = await store.claim("mail", 1, LEASE, "host-1/abc#1")
        assert claim.id == edge
        assert await store.apply("mail", [change(claim, edge, **fields)]) == ["applied"]
        if edge in {"release", "recover"}:  # out of the way of the next one
            [again] = await store.claim("mail", 1, LEASE, "host-1/abc#1")
            await store.apply("mail", [change(again, "snooze", delay=1_000.0)])
    assert await store.declare_limits(
        "mail", SharedLimits(concurrency=1_000, rate_limit=1_000.0), "host-1/abc"
    )
    await store.add("mail", [job("removed", 0)])
    await store.claim("mail", 1, LEASE, "host-1/abc#1")
    await store.remove("mail", ["removed"])
    await store.add("mail", [job("low", 200), job("first", 0), job("second", 0), job("later", 5)])
    await store.add("mail", [job("delayed", 7, delay=7_200.0)])
    await store.add("mail", [job("large", 201), job("large and delayed", 7, delay=9_000.0)])
    await store.add("mail", [msgspec.structs.replace(job("named", 202), unique="ab" * 32)])
    kept = msgspec.structs.replace(job("kept", 203), unique="cd" * 32, unique_for=1e6)
    await store.add("mail", [kept])
    await store.add("mail", [msgspec.structs.replace(job("keyed", 204), key="kunde é", cost=3)])
    await store.add("reports", [job("report")])
    await store.pause("reports", True, by="ann", reason="é")
    await store.declare("reports", {"nightly": b'{"cron":"0 3 * * *"}', "idle": b"{}"}, True)
    assert await store.fire("reports", "nightly", await store.now() + 60, job("fired"))
    later = await store.now() + 120
    assert await store.fire("reports", "nightly", later, job("held"), None, "queue")
    assert await store.edit_schedule("reports", "idle", "pause")
    counted = Period(29_000_000, [0, 9, 0, 0, 1, 0, 0, 2], [], [35, 9], [35, 300, 99, 7])
    await store.note({"mail": counted}, over=True)
    await store.mark("started:host-1/abc", encode(Mark("started", "host-1/abc", "version 1")))
    await store.note({"mail": msgspec.structs.replace(counted, minute=29_000_200)}, over=False)


async def shown(store: BaseBackend) -> dict[str, Any]:
    """All that the store tells of its jobs and schedules, as JSON has it."""
    found = {
        queue: {
            "counts": (await store.counts([queue]))[queue],
            "schedules": await store.schedules(queue),
            "jobs": {str(state): await store.list(queue, state, 0, 1_000) for state in State},
        }
        for queue in await store.queues()
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found))
    for name, queue in plain.items():
        outlook = (await store.outlook([name]))[name]
        pause = outlook.pause
        if periods := (await store.history(name)).periods:  # no release before layout 14 had any
            queue["history"] = [[length, msgspec.to_builtins(each)] for length, each in periods]
        if outlook.limits is not None:  # no release before layout 7 had any
            queue["limits"] = msgspec.to_builtins(outlook.limits)
            queue["ghosts"] = outlook.ghosts
        if pause is not None and pause != Pause():  # no release before layout 4 noted more
            queue["pause"] = msgspec.to_builtins(pause)
        if not queue["jobs"][State.BLOCKED]:  # no release before layout 12 had any
            del queue["jobs"][State.BLOCKED], queue["counts"]["blocked"]
        for rows in queue["jobs"].values():
            for row in rows:
                row["cost"] -= 1  # no release before layout 17 had another than 1
            _leave_out(rows, "unique", "holder", "key", "waits_for", "cost")
        await _add_insight(store, name, queue)
        _leave_out(queue["schedules"], "by", "former", "former_by", "tally")
    return plain


async def _add_insight(store: BaseBackend, name: str, queue: dict[str, Any]) -> None:
    """What no release before layout 20 had."""
    ids = [row["id"] for rows in queue["jobs"].values() for row in rows]
    kept = {id: (await store.attempts(name, id)).decode() for id in ids}
    if any(kept.values()):
        queue["attempts"] = {id: each for id, each in kept.items() if each}
        queue["marks"] = msgspec.json.decode(msgspec.json.encode(await store.marks()))


def _leave_out(rows: list[dict[str, Any]], *keys: str) -> None:
    """What older layouts had not, where it is empty."""
    for row in rows:
        for key in keys:
            if not row[key]:
                del row[key]
