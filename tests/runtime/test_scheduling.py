"""Delays and schedules: on time, once, and never in a burst."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest

from asyncmqd import repeatable_scheduler
from asyncmqd.backends import InMemoryBackend
from asyncmqd.client import task_lookup
from asyncmqd.client.queue import Queue
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.schedule import Repeatable, decode_schedule, jitter_of, next_instant
from asyncmqd.domain.states import State
from asyncmqd.domain.tasks import Registry, TaskDef, TaskOptions
from asyncmqd.runtime import scheduler, timetable
from asyncmqd.runtime.own_identity import own_life
from asyncmqd.runtime.runners import as_repeatables
from asyncmqd.runtime.worker import Worker
from tests.eventually import LIMIT, eventually
from tests.runtime.conftest import Bench
from tests.runtime.virtual import EPOCH, store_clock, virtual


def ticker(bench: Bench) -> list[float]:
    """A task "tick" that notes when it ran."""
    ticks: list[float] = []

    async def tick() -> None:
        ticks.append(round(asyncio.get_running_loop().time(), 3))

    bench.task(tick)
    return ticks


@virtual
async def test_a_delayed_job_starts_when_it_is_due_whatever_the_scan_interval(bench: Bench) -> None:
    ticks = ticker(bench)
    async with bench.worker(scan_interval=3600):
        await asyncio.sleep(1)
        for delay in (20.0, 5.0, 0.3, 60.0):
            await bench.add("tick", delay=delay)
        await asyncio.sleep(70)
    assert ticks == pytest.approx([1.3, 6, 21, 61], abs=0.02)


@virtual
async def test_a_delayed_job_starts_when_it_is_due_though_there_is_always_work(
    bench: Bench,
) -> None:
    """A full worker is not woken for it, and its scanner slept for there was nothing to do."""
    begun: dict[str, float] = {}

    async def work(name: str) -> None:
        begun[name] = asyncio.get_running_loop().time()
        await asyncio.sleep(1)

    bench.task(work)
    async with bench.worker(concurrency=1):
        await asyncio.sleep(5)
        for number in range(40):
            await bench.add("work", str(number))
        await bench.add("work", "urgent", delay=3.0, priority=0)
        await asyncio.sleep(20)
    assert begun["urgent"] < 5 + 3 + 1 + 1.1, "the job that runs then, and one scan_interval"


class Deaf(InMemoryBackend):
    """Its wake-ups reach others."""

    async def wait(self, queues: Any, timeout: float) -> set[str]:
        await asyncio.sleep(timeout)
        return set()


@virtual
async def test_a_worker_that_is_idle_takes_over_in_time_what_it_was_not_woken_for(
    bench: Bench,
) -> None:
    bench.backend = Deaf(now=store_clock)
    ticks = ticker(bench)
    async with bench.worker():
        for pause in (31.0, 42.0):  # just after a slow pass, and in the middle
            await asyncio.sleep(pause)
            ticks.clear()
            claimed_at = asyncio.get_running_loop().time()
            await bench.backend.beat("other", b"{}", 30.0)
            await bench.add("tick")
            [_] = await bench.backend.claim("q", 1, 15.0, "other")
            await asyncio.sleep(17)
            assert ticks == [pytest.approx(claimed_at + 15.5, abs=0.6)], "lease + 1 s at most"


@virtual
async def test_a_job_for_which_somebody_was_woken_who_does_nothing_is_taken_by_another(
    bench: Bench,
) -> None:
    """It waited for the slow pass: half a minute, though a worker here was idle."""
    bench.backend = Deaf(now=store_clock)
    ticks = ticker(bench)
    await bench.backend.beat("other", b"{}", 1000.0)
    async with bench.worker():
        for pause in (31.0, 42.0):  # just after a slow pass, and in the middle
            await asyncio.sleep(pause)
            ticks.clear()
            added_at = asyncio.get_running_loop().time()
            await bench.add("tick")
            await asyncio.sleep(10.5)
            assert ticks == [pytest.approx(added_at + 5.0, abs=5.1)]


class Counting(InMemoryBackend):
    """Counts how often it is asked, but for what a new scanner asks."""

    looks = lists = 0

    async def outlook(self, queues: Any) -> Any:
        self.looks += 1
        return await super().outlook(queues)

    async def workers(self) -> Any:
        self.lists += 1
        return await super().workers()


@pytest.mark.parametrize(
    ("id", "queues", "looks"),
    [
        ("other/1", {"q": {}}, 30),
        ("other/1", {"another": {}}, 10),
        ("us/2/1", {"q": {}}, 10),  # what it held is taken back by our parent
    ],
    ids=["stranger", "elsewhere", "sibling"],
)
@virtual
async def test_an_idle_queue_is_looked_at_more_often_only_while_strangers_serve_it(
    bench: Bench, id: str, queues: dict[str, Any], looks: int
) -> None:
    bench.backend = store = Counting(now=store_clock)
    info = msgspec.json.encode({**msgspec.structs.asdict(own_life()), "queues": queues})
    await store.beat(id, info, 1000.0)
    async with bench.worker(bench.context(instance="us/1", family="us/")):
        await asyncio.sleep(5)
        store.looks = store.lists = 0
        await asyncio.sleep(300)
        assert store.looks == pytest.approx(looks, abs=1)
        assert store.lists == pytest.approx(30, abs=1)


@virtual
async def test_many_workers_fire_each_instant_once(bench: Bench) -> None:
    ticks = ticker(bench)
    repeatables = as_repeatables([{"task": "tick", "every": "5m"}])
    async with (
        bench.worker(repeatables=repeatables),
        bench.worker(repeatables=repeatables),
        bench.worker(repeatables=repeatables),
    ):
        await asyncio.sleep(3610)
    assert ticks == pytest.approx([300 * n for n in range(1, 13)], abs=0.01)
    assert bench.observer.names().count("schedule.fired") == 12


@virtual
async def test_sub_second_periods_keep_their_pace(bench: Bench) -> None:
    ticks = ticker(bench)
    async with bench.worker(repeatables=(Repeatable(task="tick", every=0.25),)):
        await asyncio.sleep(10.1)
    assert ticks == pytest.approx([n / 4 for n in range(1, 41)], abs=0.005)


@virtual
async def test_a_clock_jump_fires_one_job_not_a_burst(bench: Bench) -> None:
    jump = 0.0
    bench.backend = InMemoryBackend(now=lambda: store_clock() + jump)
    ticks = ticker(bench)
    async with bench.worker(repeatables=(Repeatable(task="tick", every=60.0),)):
        await asyncio.sleep(95)
        assert len(ticks) == 1
        jump = 600.0
        await asyncio.sleep(11)  # each heartbeat looks at the store's clock
        assert len(ticks) == 2
        await asyncio.sleep(60)
        assert len(ticks) == 3


@virtual
async def test_after_downtime_the_latest_missed_instant_runs_once_if_it_is_recent(
    bench: Bench,
) -> None:
    ticks = ticker(bench)
    often = (Repeatable(task="tick", every=600.0, name="often"),)
    rare = (Repeatable(task="tick", every=20_000.0, name="rare"),)
    async with bench.worker(repeatables=(*often, *rare)):
        await asyncio.sleep(1)
    await asyncio.sleep(25_000)
    async with bench.worker(repeatables=(*often, *rare)):
        await asyncio.sleep(1)
        names = {
            fields["schedule"]: name
            for name, fields in bench.observer.events
            if "schedule" in fields
        }
    assert len(ticks) == 1
    assert names == {"often": "schedule.fired", "rare": "schedule.skipped"}


@pytest.mark.parametrize(
    ("keys", "fired", "counts"),
    [
        ({}, [10], {"missed": 9}),
        ({"missed": "skip"}, [], {"missed": 10}),
        ({"missed": "all"}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], {}),
        ({"missed": "all", "catch_up": 200.0}, [8, 9, 10], {"late": 7}),
        ({"catch_up": 200.0}, [10], {"late": 7, "missed": 2}),
        ({"catch_up": 0.0}, [], {"late": 10}),
    ],
)
@virtual
async def test_what_fires_after_a_downtime_and_what_is_counted(
    bench: Bench, keys: dict[str, Any], fired: list[int], counts: dict[str, int]
) -> None:
    ticker(bench)
    schedule = (Repeatable(task="tick", every=60.0, **keys),)
    async with bench.worker(repeatables=schedule):
        await asyncio.sleep(1)
    await asyncio.sleep(634)  # the tenth instant was 35 s ago
    async with bench.worker(repeatables=schedule), bench.worker(repeatables=schedule):
        await asyncio.sleep(1)
        [record] = await bench.backend.schedules("q")
        assert record.last == EPOCH + 600
        assert record.tally.counts == counts
        ids = [f["job_id"] for name, f in bench.observer.events if name == "schedule.fired"]
        assert ids == [f"tick@{round((EPOCH + 60 * number) * 1000)}" for number in fired]
        await asyncio.sleep(60)
        [record] = await bench.backend.schedules("q")
        assert record.tally.fired == EPOCH + 660, "it goes on"
        assert record.tally.counts == counts


@virtual
async def test_a_long_backlog_fires_whole_and_in_order_and_others_have_their_turn(
    bench: Bench,
) -> None:
    ticker(bench)
    backlog = Repeatable(task="tick", name="backlog", every=10.0, missed="all")
    other = Repeatable(task="tick", name="other", every=400.0)
    async with bench.worker(repeatables=(backlog, other)):
        await asyncio.sleep(1)
    await asyncio.sleep(1_400)
    async with bench.worker(repeatables=(backlog, other)):
        await asyncio.sleep(1)
    fired = [f["job_id"] for name, f in bench.observer.events if name == "schedule.fired"]
    of_backlog = [each for each in fired if each.startswith("backlog")]
    assert of_backlog == [f"backlog@{round((EPOCH + 10 * n) * 1000)}" for n in range(1, 141)]
    assert fired.index(f"other@{round((EPOCH + 1_200) * 1000)}") <= scheduler.AT_ONCE


@virtual
async def test_jitter_makes_jobs_due_later_and_leaves_the_instants_alone(bench: Bench) -> None:
    ticks = ticker(bench)
    schedule = Repeatable(task="tick", every=60.0, jitter=30.0)
    async with (
        bench.worker(repeatables=(schedule,)),
        bench.worker(repeatables=(schedule,)),
    ):
        await asyncio.sleep(270)
    instants = [60.0, 120, 180, 240]
    late = [jitter_of(schedule, "q", EPOCH + each) for each in instants]
    assert ticks == pytest.approx([a + b for a, b in zip(instants, late, strict=True)], abs=0.05)
    ids = [f["job_id"] for name, f in bench.observer.events if name == "schedule.fired"]
    assert ids == [f"tick@{round((EPOCH + each) * 1000)}" for each in instants]


@virtual
async def test_a_job_of_a_schedule_has_the_key_of_its_task_unless_the_schedule_has_one(
    bench: Bench,
) -> None:
    """Else a schedule would pass by the limits of a key."""

    async def sync(tenant: str) -> None: ...

    bench.task(sync, key="tenant")
    own = Repeatable(task="sync", name="own", args=["t7"], every=60.0)
    other = Repeatable(task="sync", name="other", args=["t7"], every=60.0, key="mine")
    wrong = Repeatable(task="sync", name="wrong", args=["x" * 129], every=60.0)
    async with bench.worker(repeatables=(own, other, wrong)):
        await bench.backend.pause("q", True)
        # As an older daemon declares it, which knows nothing of keys.
        await bench.backend.declare("q", {"own": msgspec.json.encode(own)}, True)
        await asyncio.sleep(100)
    jobs = await bench.backend.list("q", State.WAITING)
    keys = {job.id.split("@")[0]: job.key for job in jobs}
    assert keys == {"own": "t7", "other": "mine", "wrong": ""}
    errors = [f["error"] for name, f in bench.observer.events if name == "schedule.failed"]
    assert errors
    assert {each.partition(", got")[0] for each in errors} == {
        "task sync: key: parameter 'tenant': expected text of 1 to 128 printable characters"
    }


@virtual
async def test_an_instant_that_would_overlap_is_skipped_counted_and_logged(bench: Bench) -> None:
    begun: list[float] = []

    async def report() -> None:
        begun.append(round(asyncio.get_running_loop().time()))
        await asyncio.sleep(100)

    bench.task(report)
    schedule = (Repeatable(task="report", every=60.0, overlap="skip"),)
    async with bench.worker(repeatables=schedule), bench.worker(repeatables=schedule):
        await asyncio.sleep(310)
        [record] = await bench.backend.schedules("q")
    assert begun == [60, 180, 300]
    assert (record.tally.counts, record.tally.reason) == ({"overlap": 2}, "overlap")
    told = [f for name, f in bench.observer.events if name == "schedule.skipped"]
    assert [(each["job_id"], each["skipped"]) for each in told] == [(None, {"overlap": 1})] * 2


@virtual
async def test_the_next_job_begins_when_the_last_one_ends_and_one_is_held_back(
    bench: Bench,
) -> None:
    begun: list[float] = []

    async def report() -> None:
        begun.append(round(asyncio.get_running_loop().time()))
        await asyncio.sleep(100)

    bench.task(report)
    schedule = (Repeatable(task="report", every=60.0, overlap="queue"),)
    async with bench.worker(repeatables=schedule), bench.worker(repeatables=schedule):
        await asyncio.sleep(310)
        [record] = await bench.backend.schedules("q")
    assert begun == [60, 160, 260]  # of the instants 60, 120 and 180
    assert record.tally.counts == {"overlap": 1}  # 240


@virtual
async def test_the_newest_instant_wins_and_waits_for_the_end_of_the_last_one(
    bench: Bench,
) -> None:
    said: list[tuple[str, int]] = []
    clear_up = iter((5, 40, 5, 5, 5))  # seconds; the second is longer than two leases

    async def report() -> None:
        loop = asyncio.get_running_loop()
        said.append(("begins", round(loop.time())))
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(next(clear_up))
            said.append(("ends", round(loop.time())))

    bench.task(report)
    schedule = (Repeatable(task="report", every=30.0, overlap="replace"),)
    async with bench.worker(repeatables=schedule):
        await asyncio.sleep(140)
        [record] = await bench.backend.schedules("q")
        told = [*said]
    # The job of 90 had not begun when that of 120 came in its place.
    assert told == [("begins", 30), ("ends", 65), ("begins", 65), ("ends", 130), ("begins", 130)]
    assert record.tally.replaced == 3


async def test_a_plain_function_that_goes_on_is_waited_for_longer_than_its_lease(
    bench: Bench,
) -> None:
    lease, go_on = 0.3, threading.Event()
    running: list[int] = []

    def report() -> None:
        running.append(running[-1] + 1 if running else 1)
        go_on.wait(LIMIT)
        running.append(running[-1] - 1)

    async def has_replaced(number: int) -> bool:
        found = await backend.schedules("q")
        return bool(found) and found[0].tally.replaced >= number

    async def has_begun(number: int) -> bool:
        return running.count(1) >= number

    bench.task(report)
    backend = bench.backend = InMemoryBackend()
    schedule = (Repeatable(task="report", every=0.1, overlap="replace"),)
    try:
        async with bench.worker(bench.context(lease=lease), repeatables=schedule):
            await eventually(lambda: has_replaced(10))  # a second
            assert running == [1]
            assert (await backend.counts(["q"]))["q"].blocked == 1
            go_on.set()
            await eventually(lambda: has_begun(2))
    finally:
        go_on.set()
    assert set(running) == {0, 1}, "none ran beside another"


@virtual
async def test_a_schedule_that_is_enabled_again_has_missed_nothing(bench: Bench) -> None:
    ticks = ticker(bench)
    off = (Repeatable(task="tick", every=60.0, enabled=False),)
    async with bench.worker(repeatables=off) as worker:
        await asyncio.sleep(200)
        assert ticks == []
        on = (Repeatable(task="tick", every=60.0),)
        worker.adjust(msgspec.structs.replace(worker.options, repeatables=on))
        await asyncio.sleep(110)
    assert ticks == pytest.approx([240, 300], abs=0.5)


@virtual
async def test_the_newest_declaration_wins_and_a_pause_holds(bench: Bench) -> None:
    ticks = ticker(bench)
    old = (Repeatable(task="tick", every=10.0),)
    new = (Repeatable(task="tick", every=100.0),)
    async with bench.worker(repeatables=old):
        await asyncio.sleep(25)
        async with bench.worker(repeatables=new):
            await asyncio.sleep(31)  # by then the old one has looked
            ticks.clear()
            await asyncio.sleep(200)
            assert ticks == pytest.approx([100, 200], abs=0.01)
            await bench.backend.edit_schedule("q", "tick", "pause")
            await asyncio.sleep(300)
            assert len(ticks) == 2
            await bench.backend.edit_schedule("q", "tick", "resume")
            await asyncio.sleep(100)
            assert len(ticks) == 3, "what the pause passed over is not missed"


@virtual
async def test_a_reload_adds_and_removes_schedules(bench: Bench) -> None:
    import msgspec

    ticks = ticker(bench)
    async with bench.worker(repeatables=(Repeatable(task="tick", every=10.0),)) as worker:
        await asyncio.sleep(15)
        worker.adjust(msgspec.structs.replace(worker.options, repeatables=()))
        await asyncio.sleep(100)
        assert ticks == [10]
        again = (Repeatable(task="tick", every=50.0),)
        worker.adjust(msgspec.structs.replace(worker.options, repeatables=again))
        await asyncio.sleep(40)
        assert ticks[1:] == pytest.approx([150], abs=0.5), "not the 100, which it did not name then"


@virtual
async def test_an_altered_schedule_missed_nothing(bench: Bench) -> None:
    """It names instants of the past that nobody was to fire then."""
    import msgspec

    ticks = ticker(bench)
    cron = Repeatable(task="tick", cron="0 3 * * *")  # the clock begins at 08:00
    async with bench.worker(repeatables=(cron,)) as worker:
        await asyncio.sleep(1800)
        altered = (msgspec.structs.replace(cron, cron="15 8,9 * * *"),)
        worker.adjust(msgspec.structs.replace(worker.options, repeatables=altered))
        await asyncio.sleep(3600)
    assert ticks == pytest.approx([4500], abs=0.5)


@virtual
async def test_the_guides_scheduler_takes_dicts_and_queues_keep_theirs(bench: Bench) -> None:
    store = InMemoryBackend(now=store_clock)
    queue = Queue("g", store)
    queue.add_repeatable("any.task", cron="*/10 * * * * *", name="tens")
    jobs: list[Any] = [*queue.repeatables, {"task_id": "other.task", "every": "7s", "args": [1]}]
    running = asyncio.create_task(repeatable_scheduler("g", jobs, store, interval=0.1))
    await asyncio.sleep(EPOCH // 10 * 10 + 20.5 - EPOCH)
    running.cancel()
    await asyncio.wait([running])
    ids = [record.id for record in await store.list("g", State.WAITING)]
    assert sum(id.startswith("tens@") for id in ids) == 2
    assert sum(id.startswith("other.task@") for id in ids) in {2, 3}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"task": "t"}, "expected either every or cron"),
        ({"task": "t", "every": 1, "cron": "* * * * *"}, "expected either every or cron"),
        ({"task": "t", "every": "5 minutes"}, "repeatable t: every: expected seconds of at least"),
        ({"task": "t", "cron": "* * *"}, "cron: expected 5 fields"),
        (
            {"task": "t", "cron": "0 3 * * *", "timezone": "Mars/Base"},
            "timezone: expected a time zone",
        ),
        (
            {"task": "t", "every": 1, "args": "x"},
            "repeatable t: args: expected an array of arguments, got 'x'",
        ),
        ({"task": "t", "every": 1, "kwargs": [1]}, "repeatable t: kwargs: expected a table"),
        ({"task": "t", "every": 1, "priority": 2.5}, "repeatable t: priority: expected a whole"),
        ({"task": "t", "evry": 1}, r"repeatable t: evry: .*\(did you mean every\?\)"),
        ({"every": 1}, r"repeatable \?: task: expected a name"),
        ({"task": "t", "every": 1, "args": ["x" * 262_144]}, "at most 262144 bytes, got 262"),
    ],
)
def test_a_wrong_repeatable_is_said_to_be_wrong(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_repeatables([bad])


def test_a_dict_is_checked_against_its_task_like_all_schedules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tasks = Registry()
    monkeypatch.setattr(task_lookup, "REGISTRY", tasks)
    monkeypatch.setattr(task_lookup, "_told", set())
    tasks.add(TaskDef(lambda year: None, "reports.yearly", TaskOptions()))
    with pytest.raises(ValueError, match=r"repeatable reports\.yearly: .*argument: 'year'"):
        as_repeatables([{"task": "reports.yearly", "every": 60}])
    with pytest.warns(RuntimeWarning, match="'reports.yearli' is not known here: did you mean"):
        as_repeatables([{"task": "reports.yearli", "every": 60}])
    assert as_repeatables([{"task": "reports.yearly", "every": 60, "args": [2026]}])


@virtual
async def test_a_schedule_of_another_daemon_whose_jobs_are_too_large_is_skipped(
    bench: Bench,
) -> None:
    """The other daemon has a higher limit, and its declaration is the newest."""
    ticks = ticker(bench)
    mine = Repeatable(task="tick", name="both", every=10.0)
    theirs = msgspec.structs.replace(mine, args=["x" * bench.backend.payload_limit])
    async with bench.worker(repeatables=(mine, Repeatable(task="tick", every=15.0))):
        await asyncio.sleep(1)
        await bench.backend.declare("q", {"both": msgspec.json.encode(theirs)}, True)
        await asyncio.sleep(64)
    names = bench.observer.names()
    assert "scanner.crashed" not in names
    assert 2 <= names.count("schedule.failed") == names.count("schedule.skipped") <= 4
    assert {15.0, 30.0, 45.0, 60.0} <= {round(tick) for tick in ticks}


@virtual
async def test_a_schedule_that_means_nothing_here_is_told_once_and_stops_no_other(
    bench: Bench,
) -> None:
    """Its time zone is known to the daemon that declared it, and not to this host."""
    ticks = ticker(bench)
    mine = Repeatable(task="tick", name="both", every=7.0)
    theirs = Repeatable(task="tick", name="both", cron="* * * * *", timezone="Mars/Olympus")
    async with bench.worker(repeatables=(mine, Repeatable(task="tick", every=15.0))):
        await asyncio.sleep(1)
        await bench.backend.declare("q", {"both": msgspec.json.encode(theirs)}, True)
        await asyncio.sleep(100)
        told = [fields for name, fields in bench.observer.events if name == "schedule.unreadable"]
    assert [(each["schedule"], "Mars/Olympus" in str(each["error"])) for each in told] == [
        ("both", True)
    ]
    assert {45.0, 60.0, 75.0, 90.0} <= {round(tick) for tick in ticks}
    assert bench.observer.names().count("schedule.overruled") == 1
    [kept] = [each for each in await bench.backend.schedules("q") if each.name == "both"]
    assert kept.spec == msgspec.json.encode(theirs), "it is left alone: elsewhere it fires"


@virtual
async def test_whose_declaration_counts_is_told_by_who_won_and_by_who_lost(bench: Bench) -> None:
    ticker(bench)
    old, new = ((Repeatable(task="tick", every=period),) for period in (10.0, 100.0))
    async with bench.worker(repeatables=old):
        await asyncio.sleep(1)
        [record] = await bench.backend.schedules("q")
        first = record.by
        assert "schedule.replaced" not in bench.observer.names()
        async with bench.worker(repeatables=new):
            await asyncio.sleep(61)  # by then the old one has looked twice
            [record] = await bench.backend.schedules("q")
    told = {
        name: {key: fields[key] for key in fields.keys() - {"queue", "schedule"}}
        for name, fields in bench.observer.events
        if name in {"schedule.replaced", "schedule.overruled"}
    }
    assert record.by != first
    assert told == {
        "schedule.replaced": {"former": '{"task":"tick","every":10.0}', "former_by": first},
        "schedule.overruled": {"declared": record.spec.decode(), "by": record.by},
    }
    assert bench.observer.names().count("schedule.replaced") == 1


@virtual
async def test_a_new_worker_tells_no_second_time_what_its_process_has_replaced(
    bench: Bench,
) -> None:
    ticker(bench)
    old, new = ((Repeatable(task="tick", every=period),) for period in (10.0, 100.0))
    context = bench.context()
    async with bench.worker(repeatables=old), bench.worker(context, repeatables=new):
        await asyncio.sleep(1)
        assert bench.observer.names().count("schedule.replaced") == 1
        following = asyncio.create_task(
            Worker("q", context, QueueOptions(repeatables=new)).run()
        )  # as after a crash
        await asyncio.sleep(1)
        assert bench.observer.names().count("schedule.replaced") == 1
        following.cancel()
        await asyncio.wait([following])
        await bench.backend.declare("q", {"tick": msgspec.json.encode(old[0])}, True)
        following = asyncio.create_task(Worker("q", context, QueueOptions(repeatables=new)).run())
        await asyncio.sleep(1)
        assert bench.observer.names().count("schedule.replaced") == 2, "it was replaced anew"
        following.cancel()
        await asyncio.wait([following])


@virtual
async def test_what_a_worker_declares_no_more_is_withdrawn(bench: Bench) -> None:
    ticker(bench)
    both = [Repeatable(task="tick", name=name, every=50.0) for name in ("a", "b")]
    async with bench.worker(repeatables=both) as worker:
        await asyncio.sleep(1)
        worker.adjust(msgspec.structs.replace(worker.options, repeatables=(both[0],)))
        await asyncio.sleep(1)
        seen = {each.name: each.seen for each in await bench.backend.schedules("q")}
        assert seen["a"] > 0 == seen["b"]
        await bench.backend.withdraw([("q", ["a"])])  # as a daemon that had it, too, and ends
        await asyncio.sleep(31)
        assert {e.name: e.seen > 0 for e in await bench.backend.schedules("q")}["a"]


class Counted(InMemoryBackend):
    """Counts what schedulers ask."""

    asked = 0

    async def declare_all(self, declared: Any, fresh: bool, by: str = "") -> float:
        self.asked += 1
        return await super().declare_all(declared, fresh, by)

    async def schedules(self, *queues: str) -> Any:
        self.asked += 1
        return await super().schedules(*queues)


@virtual
async def test_many_idle_queues_ask_the_store_together(bench: Bench) -> None:
    store = Counted(now=store_clock)
    jobs = [{"task": "t", "cron": "0 3 1 1 *"}]
    running = [
        asyncio.create_task(repeatable_scheduler(f"q{number}", jobs, store))
        for number in range(200)
    ]
    await asyncio.sleep(1)
    store.asked = 0
    await asyncio.sleep(300)
    for each in running:
        each.cancel()
    await asyncio.wait(running)
    assert store.asked <= 60, "four pages every half minute, and one round of declarations"


@virtual
async def test_the_loop_turns_between_a_few_schedules(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be they of many queues or of one: at their start, and when all of them fire at once."""
    work = {"read": 0, "planned": 0}
    most = dict.fromkeys(work, 0)

    def counted(kind: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            work[kind] += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(scheduler, "decode_schedule", counted("read", decode_schedule))
    monkeypatch.setattr(scheduler, "next_instant", counted("planned", next_instant))
    total = dict.fromkeys(work, 0)

    async def turns_until(count: int) -> None:
        while total["planned"] < count:
            await asyncio.sleep(0)
            for kind, count_now in work.items():
                most[kind] = max(most[kind], count_now)
                total[kind] += count_now
                work[kind] = 0

    def jobs(count: int) -> list[dict[str, Any]]:
        return [{"task": "t", "name": f"s{n}", "every": 3600} for n in range(count)]

    running = [
        asyncio.create_task(repeatable_scheduler(f"q{number}", jobs(count), bench.backend))
        for number, count in enumerate([100, *[5] * 20])
    ]
    await turns_until(200)
    assert total["read"] == 200
    assert max(most.values()) <= 2 * timetable.STEPS
    await asyncio.sleep(3600 - asyncio.get_running_loop().time() % 3600)
    await turns_until(400)
    assert max(most.values()) <= 2 * timetable.STEPS
    for each in running:
        each.cancel()
    await asyncio.wait(running)
