"""Random changes of the configuration, with jobs in flight: what is not meant is not touched."""

from __future__ import annotations

import asyncio
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncmqd.daemon.control_server import Refused
from tests.daemon.reload_world import (
    NEEDS_RESTART,
    QUEUES,
    Document,
    Served,
    World,
    burst_of,
    edited,
    in_force,
    should_be,
    toggled,
    world,
)
from tests.eventually import eventually
from tests.scale import scaled

_SCANNERS = [f"tests.daemon.reload_world:{name}" for name in ("one", "two")]
_RARELY = 10 * 86_400  # seconds: a schedule that does not fire during a test
_SCHEDULES: list[dict[str, Any]] = [
    {"task": "nop", "every": _RARELY},
    {"task": "nop", "every": 2 * _RARELY},
    {"task": "other", "every": _RARELY},
]
KEYS: dict[str, list[Any]] = {
    "concurrency": [1, 2, 3],
    "rate_limit": [None, 0, 2, 5],
    "rate_interval": [3_600, 7_200],
    "scan_interval": [0.5, 2.0],
    "retries": [0, 3],
    "timeout": [None, 300.0],
    "drain_timeout": [None, 300.0, 600.0],
    "executor": ["thread", "process"],
    "scanners": [[], _SCANNERS[:1], _SCANNERS],
    "result_ttl": [60, 7_200],
    "keep_completed": [10, 500],
    "keep_failed": [60, 7_200],
    "keep_bytes": [100_000, 10_000_000],
    "repeatables": [[], _SCHEDULES[:1], _SCHEDULES[1:2], _SCHEDULES[1:]],
}
AT_TOP: dict[str, list[Any]] = {
    "shutdown_timeout": [200.0, 400.0],
    "log_level": ["info", "error"],
    "payload_limit": [100_000, 200_000],
    "lease": [None, 15, 20],
    "hang_limit": [None, 70],
    "log_format": [None, "json"],
}


LAST: dict[str, Any] = {
    "concurrency": 4,
    "scan_interval": 0.25,
    "retries": 7,
    "timeout": 77.0,
    "drain_timeout": 77.0,
    "executor": "process",
    "result_ttl": 77.0,
    "keep_completed": 77,
    "keep_failed": 77.0,
    "keep_bytes": 77_000,
    "repeatables": [{"task": "last", "every": _RARELY}],
}
"""A queue at the end of each example: every value is a new one, and nothing limits its jobs."""


def values(keys: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Some keys with a value each."""
    one = st.sampled_from(sorted(keys)).flatmap(
        lambda key: st.tuples(st.just(key), st.sampled_from(keys[key]))
    )
    return st.lists(one, min_size=1, max_size=4).map(dict)


queues = st.sampled_from(QUEUES)
jobs = st.tuples(st.just("job"), queues, st.sampled_from(["hold", "block", "nop"]))
limits = st.fixed_dictionaries(
    {"rate_limit": st.sampled_from([None, 2, 5]), "burst": st.sampled_from([None, 1, 4])}
)
scanners = st.fixed_dictionaries({"scanners": st.sampled_from(KEYS["scanners"])})
steps = st.one_of(
    jobs,
    st.tuples(st.just("release"), queues),
    st.tuples(st.just("release"), queues),
    st.tuples(st.just("toggle"), queues),
    st.tuples(st.just("toggle"), queues),
    st.tuples(st.just("queues"), queues, values(KEYS)),
    st.tuples(st.just("queues"), queues, limits),
    st.tuples(st.just("queues"), queues, scanners),
    st.tuples(st.just("defaults"), st.just(""), values(KEYS)),
    st.tuples(st.just("top"), st.just(""), values(AT_TOP)),
    st.tuples(st.just("break")),
    st.tuples(st.just("back"), st.integers(0, 9)),
)


@pytest.fixture(autouse=True, scope="module")
def _no_rest() -> Iterator[None]:
    """Reloads follow each other at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asyncmqd.daemon.reload.reloading.REST", 0.0)
        yield


@settings(**scaled({"max_examples": 30}, {}))
@given(st.lists(steps, min_size=8, max_size=30))
def test_what_a_reload_does_not_mean_it_does_not_touch(play: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(_play(Path(place), play))


async def _play(place: Path, play: list[tuple[Any, ...]]) -> None:
    document = Document()
    history = [document]
    async with world(place, document) as w:
        for queue, task in product(QUEUES, ("hold", "block")):
            await w.add(queue, task)
        for step in play:
            match step:
                case ("job", queue, task):
                    await w.add(queue, task)
                case ("release", queue):
                    former = w.served()
                    await w.release(queue)
                    _check_limiters(former, w.served())
                    await w.add(queue, "hold")
                case _:
                    history.append(_next(history, document, step))
                    document = await _reload(w, document, history[-1])
        await _end(w, document)


def _next(history: list[Document], document: Document, step: tuple[Any, ...]) -> Document:
    match step:
        case ("toggle", queue):
            return toggled(document, queue)
        case ("break",):
            return replace(document, broken=True)
        case ("back", steps):
            return history[-1 - steps % len(history)]
        case (part, name, keys):
            return edited(document, part, name, keys)
    raise AssertionError(step)


async def _reload(w: World, old: Document, new: Document) -> Document:
    """Reload, and check all that was promised; the document that is served from now on."""
    before, state = w.served(), _state(w)
    begun = w.begun()
    w.write(new)
    if not new.valid:
        with pytest.raises(Refused):
            await w.reloader.request()
        assert (w.served(), _state(w)) == (before, state)
        assert w.configuration.refusal
        return old
    result = (await w.reloader.request()).told(conceals=False)
    assert (result["generation"], set(result["needs_restart"])) == (state[1] + 1, new.owed())
    assert {each["key"] for each in result["plan"]["restart"]} == new.owed()
    assert w.log_levels[-1] == (new.top.get("log_level") or "info")
    _check_at_once(w, before, old, new)
    await w.settle()
    started = w.begun() - begun
    assert started.keys() <= new.queues.keys(), "a removed queue claims no more"
    _check_settled(w, before, started, old, new)
    return new


def _state(w: World) -> tuple[Any, ...]:
    configuration = w.configuration
    kept = (configuration.settings, configuration.generation)
    return (*kept, configuration.needs_restart, len(w.log_levels))


def _check_at_once(w: World, before: dict[str, Served], old: Document, new: Document) -> None:
    """What has to be so when the answer comes."""
    for queue in new.queues:
        keeper = w.supervisor.queues[queue]
        assert keeper.wanted
        assert keeper.options.concurrency == new.meaning(queue)["concurrency"]
    for queue, served in before.items():
        for run, task in served.runs.values():
            assert served.worker.running[run.id] is run, "a running job must not notice"
            assert run.asyncio_task is task
            assert run.stop_reason is None
        if _in_place(queue, served, old, new):
            now = Served.of(served.keeper)
            assert (now.worker, now.tasks) == (served.worker, served.tasks)


def _in_place(queue: str, served: Served, old: Document, new: Document) -> bool:
    """Whether its worker goes on: neither the queue nor its scanners come or go."""
    if served.ending or queue not in old.queues or queue not in new.queues:
        return False
    return old.meaning(queue)["scanners"] == new.meaning(queue)["scanners"]


def _check_settled(
    w: World, before: dict[str, Served], started: Counter[str], old: Document, new: Document
) -> None:
    """What has to be so when everything has come to rest."""
    _check_limiters(before, w.served())
    for queue, served in w.served().items():
        assert served.ending or queue in new.queues
        if not served.ending:
            assert in_force(served.worker) == should_be(new.meaning(queue))
        if (former := before.get(queue)) is None:
            continue
        assert served.keeper is former.keeper
        for id, run in former.runs.items():
            assert served.runs[id] == run
        if _in_place(queue, former, old, new):
            assert (served.worker, served.tasks) == (former.worker, former.tasks)
            assert served == former or started[queue] or old.meaning(queue) != new.meaning(queue)
        if served.limiter is former.limiter is not None and not served.ending:
            left = min(former.tokens, burst_of(new.meaning(queue))) - started[queue]
            assert served.tokens == pytest.approx(left, abs=0.1)


def _check_limiters(before: dict[str, Served], after: dict[str, Served]) -> None:
    """Also a worker that starts anew goes on with the tokens that are left."""
    for queue in before.keys() & after.keys():
        former, now = before[queue].limiter, after[queue].limiter
        assert None in {former, now} or now is former, "another one would give a second burst"


async def _end(w: World, document: Document) -> None:
    """Every job is run once, whatever happened before."""
    await _reload(w, document, Document(queues=dict.fromkeys(QUEUES, LAST)))
    for gate in w.gates.values():
        gate.open()

    async def all_ran() -> bool:
        return set(w.ran) == set(w.jobs)

    await eventually(all_ran)
    await w.settle()
    await w.reloader.stop()
    await w.supervisor.stop()
    assert not w.supervisor.queues
    assert set(w.ran.values()) | set(w.began.values()) <= {1}
    for counts in (await w.context.backend.counts(QUEUES)).values():
        assert counts.waiting == counts.delayed == counts.active == counts.failed == 0
    assert not _troubles(w)
    assert set(NEEDS_RESTART) >= set(w.configuration.needs_restart)


def _troubles(w: World) -> list[str]:
    """What must not happen to any queue or job, with the stack if there is one."""
    bad = {"queue.crashed", "job.released", "job.lease_lost", "scanner.crashed"}
    events: list[tuple[str, dict[str, Any]]] = w.context.observer.events  # type: ignore[attr-defined]
    return [_told(name, fields) for name, fields in events if name in bad]


def _told(name: str, fields: dict[str, Any]) -> str:
    error = fields.get("exc_info")
    stack = "" if error is None else "".join(traceback.format_exception(error))
    return f"{name} {fields}\n{stack}"
