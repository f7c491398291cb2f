"""`asyncmq job why` and `queue why`: each reason, made on each store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from asyncmqd.admin import causes, facts, why
from asyncmqd.admin.claim_obstacles import Reason
from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.factory import open_backend
from asyncmqd.domain.heartbeat import Load, Serving
from asyncmqd.domain.job import Claim
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.settle import run_now
from asyncmqd.domain.shared_limits import KeyLimits, SharedLimits
from asyncmqd.domain.tasks import Registry, TaskDef, TaskOptions
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.worker import Worker
from tests.cli.conftest import Answer, Operator
from tests.cli.test_jobs import InStore, new
from tests.cli.test_queues import pause_as_older_release
from tests.contract.jobs import (
    LONG,
    apply,
    crashed,
    failed,
    parked,
    record,
    released,
    retried,
    succeeded,
)
from tests.eventually import LIMIT, eventually
from tests.servers import USUAL

Seen = Callable[[str], None]
Prepare = Callable[[BaseBackend], Awaitable[object]]
ONE_SLOT = Load(concurrency=1)
DAEMON = "web1/a"  # the id of the process that serves `mail` in most scenes


async def serve(
    store: BaseBackend, load: Load = ONE_SLOT, queue: str = "mail", **said: Any
) -> None:
    """The heartbeat of a process that serves a queue and knows `shop.add`."""
    serving = {"host": "web1", "lease": 15.0, "tasks": ("shop.add",), **said}
    info = msgspec.json.encode(Serving(queues={queue: load}, **serving))
    await store.beat(DAEMON, info, 60.0)


async def claim(store: BaseBackend, worker: str = f"{DAEMON}#1") -> Claim:
    [taken] = await store.claim("mail", 1, 60.0, worker)
    return taken


async def die_twice(store: BaseBackend) -> None:
    """The process dies at two runs of "j"; then the job is claimable at once."""
    for _ in range(2):
        await apply(store, crashed(await claim(store), lapsed=False))


# ---------------------------------------------------------------------- scenes, each with job "j"


async def only_elsewhere(store: BaseBackend) -> None:
    await store.remove("mail", ["j"])
    await store.add("mail", [new("other")])
    await store.add("web", [new("j")])


async def runs(store: BaseBackend) -> None:
    await serve(store)
    await claim(store)


async def worker_is_not_listed(store: BaseBackend) -> None:
    await claim(store, "gone/b#1")
    await serve(store)


async def lease_is_not_renewed(store: BaseBackend) -> None:
    await serve(store, lease=1_000.0)  # it would have more than 500 s of its lease left
    await claim(store)


async def failed_for_good(store: BaseBackend) -> None:
    await apply(store, failed(await claim(store)))


async def waits_for_another(store: BaseBackend) -> None:
    await store.remove("mail", ["j"])
    await store.declare("mail", {"nightly": b"{}"}, True)
    instant = await store.now() + 60.0
    await store.fire("mail", "nightly", instant, new("first"), None, "queue")
    await store.fire("mail", "nightly", instant + 1, new("j"), None, "queue")
    await store.pause("mail", True, by="ann", reason="provider is down")


async def has_replaced_another(store: BaseBackend) -> None:
    await store.remove("mail", ["j"])
    await store.declare("mail", {"nightly": b"{}"}, True)
    instant = await store.now() + 60.0
    await store.fire("mail", "nightly", instant, new("first"), None, "replace")
    await claim(store)
    await store.fire("mail", "nightly", instant + 1, new("j"), None, "replace")


async def paused_by_somebody(store: BaseBackend) -> None:
    await store.pause("mail", True, by="ann", reason="provider is down")


async def retry_comes(store: BaseBackend) -> None:
    await apply(store, retried(await claim(store), 600.0))
    await serve(store)


async def put_off(store: BaseBackend) -> None:
    await store.remove("mail", ["j"])
    await store.add("mail", [new("j", delay=600.0)])
    await serve(store)


async def task_is_unknown(store: BaseBackend) -> None:
    taken = await claim(store)
    await apply(store, parked(taken, "shop.add"))
    await serve(store, tasks=("shop.had",))


async def nobody_serves(store: BaseBackend) -> None:
    await serve(store, queue="web")


async def daemons_are_silent(store: BaseBackend) -> None:
    await serve(store, degraded="the store does not answer")


async def daemon_stops(store: BaseBackend) -> None:
    await serve(store, Load(concurrency=1, held="stopping"))


async def daemon_has_no_threads(store: BaseBackend) -> None:
    await serve(store, Load(concurrency=1, held="can't start new thread"))


async def another_runs_alone(store: BaseBackend) -> None:
    await serve(store, Load(concurrency=1, held="isolating"))


async def waits_to_be_alone(store: BaseBackend) -> None:
    await die_twice(store)
    await serve(store)
    assert (await claim(store)).crashes == 2


async def slots_are_taken(store: BaseBackend) -> None:
    await store.remove("mail", ["j"])
    await store.add("mail", [new("first"), new("second"), new("j")])
    await serve(store)
    await claim(store)


async def slots_of_the_daemon_are_taken(store: BaseBackend) -> None:
    """One of three by this queue, one by another, and one is kept for a third."""
    await store.remove("mail", ["j"])
    await store.add("mail", [new("first"), new("j")])
    await store.add("web", [new("w")])
    await claim(store)
    await store.claim("web", 1, 60.0, f"{DAEMON}#2")
    load = Load(concurrency=5, weight=2, max_concurrency=3)
    said = Serving(host="web1", lease=15.0, queues=dict.fromkeys(("mail", "web", "idle"), load))
    await store.beat(DAEMON, msgspec.json.encode(said), 60.0)


async def as_many_run_as_may_in_all_daemons(store: BaseBackend) -> None:
    await slots_are_taken(store)
    await serve(store, Load(concurrency=5))
    await store.declare_limits("mail", SharedLimits(concurrency=1), DAEMON)


async def none_may_run_in_any_daemon(store: BaseBackend) -> None:
    await serve(store)
    await store.declare_limits("mail", SharedLimits(concurrency=0), DAEMON)


async def code_of_a_removed_job_may_run(store: BaseBackend) -> None:
    await as_many_run_as_may_in_all_daemons(store)
    await store.remove("mail", ["first"])


async def as_many_of_its_key_run_as_may(store: BaseBackend, **limits: Any) -> None:
    each_key = KeyLimits(**limits or {"concurrency": 1})
    await store.declare_limits("mail", SharedLimits(each_key=each_key), DAEMON)
    await store.remove("mail", ["j"])
    keyed = [msgspec.structs.replace(new(id), key="t7") for id in ("first", "second", "j")]
    await store.add("mail", keyed)
    await serve(store, Load(concurrency=5))
    await store.claim("mail", 5, 60.0, f"{DAEMON}#1")


async def none_of_its_key_may_run(store: BaseBackend) -> None:
    await as_many_of_its_key_run_as_may(store, concurrency=0)


async def as_many_of_its_key_started_as_may(store: BaseBackend) -> None:
    await as_many_of_its_key_run_as_may(store, rate_limit=1, rate_interval=3_600.0)


async def as_many_started_as_may_in_all_daemons(store: BaseBackend) -> None:
    limits = SharedLimits(rate_limit=10, rate_interval=3_600, burst=1)
    await store.declare_limits("mail", limits, DAEMON)
    await slots_are_taken(store)
    await serve(store, Load(concurrency=5))


async def its_tokens_are_not_there(store: BaseBackend) -> None:
    limits = SharedLimits(rate_limit=10, rate_interval=3_600, burst=5)
    await store.declare_limits("mail", limits, DAEMON)
    await slots_are_taken(store)
    await serve(store, Load(concurrency=5))
    await store.remove("mail", ["second", "j"])
    await store.add("mail", [msgspec.structs.replace(new("j"), cost=5)])


async def the_tokens_of_its_key_are_not_there(store: BaseBackend) -> None:
    await as_many_of_its_key_run_as_may(store, rate_limit=2, rate_interval=3_600.0)
    other = msgspec.structs.replace(new("other"), key="t7")  # so that the key remains closed
    await store.add("mail", [other])
    await store.remove("mail", ["j"])
    await store.add("mail", [msgspec.structs.replace(new("j"), key="t7", cost=9)])
    await store.remove("mail", ["other"])


async def none_may_start_in_any_daemon(store: BaseBackend) -> None:
    await serve(store)
    await store.declare_limits("mail", SharedLimits(rate_limit=0), DAEMON)


async def rate_is_used_up(store: BaseBackend) -> None:
    await serve(store, Load(1, rate_limit=10.0, rate_interval=60.0, opens=50.0))


async def rate_is_zero(store: BaseBackend) -> None:
    await serve(store, Load(1, rate_limit=0.0))


async def is_degraded(store: BaseBackend) -> None:
    await serve(store, degraded="Redis may delete jobs to make room")


async def another_has_its_name(store: BaseBackend) -> None:
    await store.remove("mail", ["j"])
    await store.add("mail", [new("j", unique="1" * 64)])
    await apply(store, failed(await claim(store)))
    await store.add("mail", [new("second", unique="1" * 64)])


async def its_key_has_its_turn(store: BaseBackend) -> None:
    await store.remove("mail", ["j"])
    keyed = [("first", "t7"), ("j", "t7"), ("other", "t8")]
    await store.add("mail", [msgspec.structs.replace(new(id), key=key) for id, key in keyed])
    await serve(store)


async def others_have_their_turns_first(store: BaseBackend) -> None:
    """All of one key came first: more than a page of them."""
    await store.remove("mail", ["j"])
    many = [msgspec.structs.replace(new(f"m{each}"), key="t6") for each in range(600)]
    await store.add("mail", [*many, new("plain"), new("sooner", priority=4)])
    await store.add("mail", [msgspec.structs.replace(new("j"), key="t7")])
    await serve(store)
    await claim(store)


async def is_next(store: BaseBackend) -> None:
    await serve(store)


class Scene(NamedTuple):
    prepare: Prepare
    job: str  # the reason of the job
    queue: str  # the reason of its queue
    told: str  # is in the job's sentence
    command: str | None  # mends it


SCENES = [
    Scene(
        only_elsewhere,
        "no_such_job",
        "no_daemon",
        "There is one in queue web (waiting)",
        "asyncmq job why j --queue web",
    ),
    Scene(runs, "running", "working", "worker web1/a#1 on host web1", "asyncmq job cancel j"),
    Scene(worker_is_not_listed, "worker_lost", "worker_lost", "not among the living", "journalctl"),
    Scene(lease_is_not_renewed, "worker_lost", "worker_lost", "renews the lease no", "journalctl"),
    Scene(
        failed_for_good, "ended", "no_daemon", "failed after attempt 1: E: boom", "asyncmq job r"
    ),
    Scene(
        another_has_its_name,
        "name_held",
        "no_daemon",
        "cannot run again now, for job second has its unique name",
        "asyncmq job why second --queue mail",
    ),
    Scene(
        paused_by_somebody,
        "paused",
        "paused",
        "Z by ann: provider is down.",
        "asyncmq queue resume mail",
    ),
    Scene(
        waits_for_another,
        "blocked",
        "paused",
        "It waits until job first has ended.",
        "asyncmq job why first --queue mail",
    ),
    Scene(
        has_replaced_another,
        "replacing",
        "no_daemon",
        "It waits until the code of job first has ended, which was cancelled: a later instant",
        "asyncmq job show first --queue mail",
    ),
    Scene(pause_as_older_release, "paused", "paused", "Queue mail is paused.", "asyncmq queue re"),
    Scene(put_off, "not_due", "not_due", "It is not due until", "asyncmq job retry j"),
    Scene(retry_comes, "retry", "not_due", "Attempt 1 failed (OSError: x)", "asyncmq job retry j"),
    Scene(task_is_unknown, "parked", "parked", "(did you mean shop.had?)", "systemctl restart"),
    Scene(
        nobody_serves,
        "no_daemon",
        "no_daemon",
        "serves queue mail; 1 daemon for others",
        "asyncmqd reload",
    ),
    Scene(
        daemons_are_silent,
        "daemons_silent",
        "daemons_silent",
        "web1/a was the last to be",
        "asyncmqd st",
    ),
    Scene(daemon_stops, "stopping", "stopping", "is about to stop (web1/a)", "systemctl start"),
    Scene(daemon_has_no_threads, "held_back", "held_back", "can't start new thread", "asyncmqd st"),
    Scene(another_runs_alone, "isolation", "isolation", "runs alone in each", "asyncmqd status"),
    Scene(waits_to_be_alone, "isolation", "working", "died 2 times", "asyncmq job cancel j"),
    Scene(
        slots_are_taken,
        "slots_busy",
        "slots_busy",
        "It waits behind 1 job: all slots are busy (1), longest with first (shop.add, 0 s)",
        "asyncmqd reload",
    ),
    Scene(
        slots_of_the_daemon_are_taken,
        "daemon_slots_busy",
        "daemon_slots_busy",
        "It is the next: all slots of the daemon are busy, or kept for queues without jobs:"
        " max_concurrency is 3 for 3 queues, and the weight of this one is 2 (web1/a)",
        "asyncmqd reload",
    ),
    Scene(
        as_many_run_as_may_in_all_daemons,
        "global_concurrency",
        "global_concurrency",
        "1 of 1 jobs run in all daemons, longest with first (shop.add, 0 s): global_concurrency"
        f" is 1, declared by {DAEMON}",
        "asyncmqd reload",
    ),
    Scene(
        none_may_run_in_any_daemon,
        "global_concurrency",
        "global_concurrency",
        "no job may run in any daemon: global_concurrency is 0",
        "asyncmqd reload",
    ),
    Scene(
        code_of_a_removed_job_may_run,
        "global_concurrency",
        "global_concurrency",
        "0 of 1 jobs run in all daemons, and the code of 1 job that was taken away may still run",
        "asyncmqd reload",
    ),
    Scene(
        as_many_of_its_key_run_as_may,
        "key_concurrency",
        "key_limits",
        "It waits behind 1 job: 1 of 1 jobs of key t7 run in all daemons, longest with first"
        " (shop.add, 0 s): declared by",
        "asyncmqd reload",
    ),
    Scene(
        none_of_its_key_may_run,
        "key_concurrency",
        "key_limits",
        "no job of key t7 may start in any daemon",
        "asyncmqd reload",
    ),
    Scene(
        as_many_of_its_key_started_as_may,
        "key_rate_limit",
        "key_limits",
        "the rate limit of 1 in 3600 s of key t7 is used up: declared by",
        "asyncmqd reload",
    ),
    Scene(
        as_many_started_as_may_in_all_daemons,
        "global_rate_limit",
        "global_rate_limit",
        f"the rate limit of 10 in 3600 s over all daemons is used up: declared by {DAEMON}",
        "asyncmqd reload",
    ),
    Scene(
        its_tokens_are_not_there,
        "global_rate_limit",
        "global_rate_limit",
        "It is the next: the rate limit of 10 in 3600 s over all daemons has 4 of the 5 tokens that"
        f" the next job costs: declared by {DAEMON}",
        "asyncmqd reload",
    ),
    Scene(
        the_tokens_of_its_key_are_not_there,
        "key_rate_limit",
        "key_limits",
        "the rate limit of 2 in 3600 s of key t7 has 0 of the 9 tokens that the next job costs",
        "asyncmqd reload",
    ),
    Scene(
        none_may_start_in_any_daemon,
        "global_rate_limit",
        "global_rate_limit",
        "the rate limit of 0 in 1 s over all daemons starts no job",
        "asyncmqd reload",
    ),
    Scene(rate_is_used_up, "rate_limit", "rate_limit", "10 in 60 s is used up", "asyncmqd reload"),
    Scene(rate_is_zero, "rate_limit", "rate_limit", "0 in 1 s starts no job", "asyncmqd reload"),
    Scene(is_degraded, "degraded", "degraded", "may delete jobs to make room", "asyncmqd status"),
    Scene(
        its_key_has_its_turn,
        "in_line",
        "working",
        "It waits behind 1 job of its key, whose turn comes next: slots are free, by the last",
        None,
    ),
    Scene(
        others_have_their_turns_first,
        "slots_busy",
        "slots_busy",
        "It is the next of its key, whose turn comes after 2 others: all slots are busy (1)",
        "asyncmqd reload",
    ),
    Scene(
        is_next,
        "in_line",
        "working",
        f"It is the next: slots are free, by the last heartbeat at ...Z ({DAEMON}), and it",
        None,
    ),
]


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[BaseBackend]:
    """The test's store, in the loop of an async test."""
    opened = open_backend(store_url)
    yield opened
    await opened.close()


@pytest.mark.parametrize("store_url", ["memory", "sqlite", USUAL], indirect=True)
@pytest.mark.parametrize("scene", SCENES, ids=lambda each: each.prepare.__name__)
async def test_each_reason(
    scene: Scene, store: BaseBackend, monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    await store.add("mail", [new("j")])
    await scene.prepare(store)
    if scene.prepare is daemons_are_silent:
        monkeypatch.setattr(facts, "SILENT", -1.0)  # nobody's last heartbeat is so new
    reason = await why.job(store, "j", "mail")
    assert (reason.name, (await why.queue(store, "mail")).name) == (scene.job, scene.queue)
    assert scene.told in _timeless(reason.sentence)
    assert (reason.command or "").startswith(scene.command or "")
    seen(f"why, {scene.prepare.__name__:24} {scene.job:14} {_timeless(reason.sentence)}")


def test_each_reason_that_is_documented_has_a_scene() -> None:
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text("utf-8")
    table = page.partition("| reason | of a job,")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    made = {name for scene in SCENES for name in (scene.job, scene.queue)}
    assert made - {"working"} == documented


def _timeless(sentence: str) -> str:
    """The same in each run."""
    return re.sub(r"\d{4}-\S+?Z", "...Z", sentence)


async def test_a_slot_that_the_daemon_keeps_for_a_queue_is_free_for_its_jobs(
    store: BaseBackend,
) -> None:
    await store.add("mail", [new("j")])
    await slots_of_the_daemon_are_taken(store)
    await store.add("idle", [new("i")])
    assert (await why.job(store, "i", "idle")).name == "in_line"
    await store.remove("web", ["w"])
    assert (await why.job(store, "j", "mail")).name == "daemon_slots_busy", "web keeps one, too"


def test_what_people_read(asyncmq: Operator, in_store: InStore) -> None:
    async def prepare(store: BaseBackend) -> None:
        await store.add("mail", [new("j")])
        await paused_by_somebody(store)

    in_store(prepare)
    paused = (
        r"Queue mail is paused since (\S+Z) by ann: provider is down\.\n"
        r"reason   paused\n"
        r"since    \1\n"
        r"changes  somebody resumes the queue\n"
        r"command  asyncmq queue resume mail\n"
    )
    also = r"also: No living daemon serves queue mail\. \[systemctl start asyncmqd\]\n"
    assert re.fullmatch(paused, asyncmq("job", "why", "j").out)
    assert re.fullmatch(paused + also, asyncmq("queue", "why", "mail").out)


def test_what_cannot_be_answered(asyncmq: Operator, in_store: InStore) -> None:
    in_store(lambda store: store.add("mail", [new("j")]))
    in_store(lambda store: store.add("web", [new("j")]))
    assert asyncmq("job", "why", "j").err.startswith("asyncmq: job j: expected --queue, since")
    assert "did you mean mail?" in asyncmq("queue", "why", "mial").err
    unknown: Answer = asyncmq("job", "why", "nosuch")
    assert (unknown.code, unknown.out.splitlines()[0]) == (
        1,
        "No queue of this store has a job nosuch.",
    )


def test_a_queue_whose_jobs_are_all_done_is_empty(asyncmq: Operator, in_store: InStore) -> None:
    in_store(serve)
    assert asyncmq("queue", "why", "mail", "--json").json["name"] == "empty"


def test_a_daemon_that_stops_hides_no_other_that_is_full(
    asyncmq: Operator, in_store: InStore
) -> None:
    async def prepare(store: BaseBackend) -> None:
        stopping = Serving(queues={"mail": Load(5, held="stopping")})
        await store.beat("old/z", msgspec.json.encode(stopping), 60.0)
        await slots_are_taken(store)

    in_store(prepare)
    assert asyncmq("job", "why", "j", "--json").json["name"] == "slots_busy"


# ---------------------------------------------------------------------- all that is wrong


async def fails(store: BaseBackend, numbers: range) -> None:
    for number in numbers:
        await store.add("mail", [new(f"f{number}")])
        await apply(store, failed(await claim(store), f"no answer in {number} s"))


async def test_a_queue_is_failing_by_an_error_that_differs_in_numbers(store: BaseBackend) -> None:
    await serve(store)
    await fails(store, range(2))
    assert (await why.queue(store, "mail")).name == "empty"  # two failures are not many
    await store.add("mail", [new("again")])
    await apply(store, retried(await claim(store), LONG))  # one that is to be tried again counts
    await fails(store, range(2, 3))
    reason = await why.queue(store, "mail")
    assert reason.name == "failing"
    assert reason.sentence.startswith("4 of the last 4 runs failed, 3 of them with E: no answer in")
    assert reason.since is not None
    assert (reason.command or "").startswith("asyncmq job show f")


async def test_a_queue_whose_jobs_succeed_again_is_not_failing(store: BaseBackend) -> None:
    await serve(store)
    await fails(store, range(3))
    for number in range(4):
        await store.add("mail", [new(f"s{number}")])
        await apply(store, succeeded(await claim(store)))
    assert (await why.queue(store, "mail")).name == "empty"


async def test_a_schedule_that_nobody_fires_is_late(
    store: BaseBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causes, "OVERDUE", 0.0)
    await serve(store)
    spec = msgspec.json.encode(Repeatable(task="shop.add", every=0.1))
    await store.declare("mail", {"often": spec}, fresh=True, by="gone/b")

    async def late() -> Reason | None:
        reason = await why.queue(store, "mail")
        return reason if reason.name == "schedule_late" else None

    reason = await eventually(late)
    assert reason is not None
    assert "Schedule often is late" in reason.sentence
    assert "the daemon that declared it (gone/b) is gone" in reason.sentence
    assert (reason.since or "")[:19] in reason.sentence
    await store.edit_schedule("mail", "often", "pause")
    assert (await why.queue(store, "mail")).name == "empty"


async def test_all_that_is_wrong_is_told_the_worst_first(
    store: BaseBackend, asyncmq: Operator
) -> None:
    await fails(store, range(3))
    await store.add("mail", [new("unknown", "shop.had")])
    await apply(store, parked(await claim(store), "shop.had"))
    await store.add("mail", [new("j"), new("k")])
    await serve(store)
    await claim(store)
    await paused_by_somebody(store)
    reason = await why.queue(store, "mail")
    names = [reason.name, *(each.name for each in reason.also)]
    assert names == ["paused", "slots_busy", "parked", "failing"]


# ---------------------------------------------------------------------- with a worker that runs


class Serves(NamedTuple):
    context: ProcessContext
    running: asyncio.Task[None]

    async def expect(self, store: BaseBackend, id: str, name: str, told: str = "") -> Reason:
        """The reason of a job, once its worker's next heartbeat is there."""

        async def found() -> Reason | None:
            reason = await why.job(store, id, "mail")
            return reason if reason.name == name and told in reason.sentence else None

        self.context.presence.beat_soon()
        reason = await eventually(found)
        assert reason is not None
        return reason


@asynccontextmanager
async def worker(store: BaseBackend, **options: Any) -> AsyncIterator[Serves]:
    """A real worker of `mail`: its `shop.hold` ends only with it, its `shop.add` at once."""

    async def hold() -> None:
        await asyncio.Event().wait()

    async def add() -> None: ...

    registry = Registry()
    for name, function in (("shop.hold", hold), ("shop.add", add)):
        registry.add(TaskDef(function, name, TaskOptions()))
    async with ProcessContext(store, registry=registry, observer=Observer([])) as context:
        queue_options = QueueOptions(**{"drain_timeout": 0.0, **options})
        running = asyncio.create_task(Worker("mail", context, queue_options).run())
        try:
            yield Serves(context, running)
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_a_worker_that_is_full_says_by_which_job(store: BaseBackend) -> None:
    await store.add("mail", [new("first", "shop.hold"), new("j")])
    async with worker(store, concurrency=1) as serves:
        assert (
            "longest with first (shop.hold"
            in (await serves.expect(store, "j", "slots_busy")).sentence
        )
        runs = await serves.expect(store, "first", "running")
        assert serves.context.presence.id in runs.sentence


async def test_a_worker_tells_that_its_rate_limit_is_used_up(store: BaseBackend) -> None:
    await store.add("mail", [new("first"), new("j")])
    async with worker(store, concurrency=5, rate_limit=1, rate_interval=100.0) as serves:
        await serves.expect(store, "first", "ended", "completed")
        reason = await serves.expect(store, "j", "rate_limit")
    assert "the rate limit of 1 in 100 s is used up" in reason.sentence
    assert reason.until is not None


async def test_a_worker_tells_that_it_stops(store: BaseBackend) -> None:
    await store.add("mail", [new("first", "shop.hold")])
    async with worker(store, concurrency=5, drain_timeout=2 * LIMIT) as serves:
        await serves.expect(store, "first", "running")
        serves.running.cancel()
        await asyncio.sleep(0)
        await store.add("mail", [new("j")])
        await serves.expect(store, "j", "stopping")


async def test_a_worker_tells_that_a_poison_candidate_is_to_run_alone(store: BaseBackend) -> None:
    await store.add("mail", [new("j")])
    await die_twice(store)
    await apply(store, released(await claim(store), delay=LONG))
    await store.add("mail", [new("first", "shop.hold")])
    async with worker(store, concurrency=5) as serves:
        await serves.expect(store, "first", "running")
        await apply(store, run_now(await record(store, "j")))
        await serves.expect(store, "j", "isolation", "it waits for its turn")
        await store.add("mail", [new("other")])
        await serves.expect(store, "other", "isolation", "runs alone in each process")


async def test_a_worker_that_cannot_know_the_task_names_the_nearest(store: BaseBackend) -> None:
    await store.add("mail", [new("j", "shop.odd")])
    async with worker(store) as serves:
        reason = await serves.expect(store, "j", "parked", "did you mean shop.")
    assert reason.command == "systemctl restart asyncmqd"
