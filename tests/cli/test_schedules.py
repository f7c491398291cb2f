"""`asyncmq schedule`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from asyncmqd.admin.schedules import edit
from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.memory import InMemoryBackend
from asyncmqd.client.acting_user import system_user
from asyncmqd.domain.schedule import Repeatable, count_instants
from asyncmqd.domain.schedule_counts import Passed
from asyncmqd.domain.tasks import Registry, TaskDef, TaskOptions
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.scheduler import Scheduler
from tests.cli.conftest import Operator
from tests.cli.test_jobs import new
from tests.eventually import eventually

InStore = Callable[[Callable[[BaseBackend], Any]], Any]

NIGHTLY = Repeatable(
    task="shop.report",
    name="nightly",
    cron="0 3 * * *",
    timezone="Europe/Lisbon",
    args=[1],
    kwargs={"deep": True},
    priority=9,
    retries=4,
    ttl=60.0,
)


@pytest.fixture
def schedules(in_store: InStore) -> None:
    """`nightly` and `tick` in the queue `reports`, `clean up` in `mail`."""

    async def fill(store: BaseBackend) -> None:
        tick = Repeatable(task="tick", every=30.0)
        reports = {each.identity: msgspec.json.encode(each) for each in (NIGHTLY, tick)}
        await store.declare("reports", reports, fresh=True)
        clean = Repeatable(task="shop.clean", name="clean up", every=0.5)
        await store.declare("mail", {"clean up": msgspec.json.encode(clean)}, fresh=True)

    in_store(fill)


@pytest.mark.usefixtures("schedules")
def test_a_queue_without_schedules_is_told(asyncmq: Operator) -> None:
    told = asyncmq("schedule", "list", "report")
    assert (told.code, len(told.out.splitlines())) == (0, 1)
    assert "queue report: it has no schedules (did you mean reports?)" in told.err


@pytest.mark.usefixtures("schedules")
def test_list_names_the_next_instants(asyncmq: Operator, in_store: InStore) -> None:
    now = in_store(lambda store: store.now())
    found = {each["name"]: each for each in asyncmq("schedule", "list", "--json").json}
    assert list(found) == ["clean up", "nightly", "tick"]
    nightly, tick = found["nightly"], found["tick"]
    assert (nightly["queue"], nightly["task"], nightly["cron"]) == (
        "reports",
        "shop.report",
        "0 3 * * *",
    )
    assert (nightly["timezone"], nightly["args"], nightly["kwargs"]) == (
        "Europe/Lisbon",
        [1],
        {"deep": True},
    )
    assert nightly["last"] is None
    instant = datetime.fromisoformat(tick["next"]).timestamp()
    assert instant % 30 == 0
    assert now < instant <= now + 60


def test_what_the_task_says_holds_for_jobs_that_a_person_enqueues(
    asyncmq: Operator, in_store: InStore
) -> None:
    """The command line does not know the task; the daemon that declares the schedule does."""
    registry = Registry()
    options = TaskOptions(priority=2, ttl=7_200.0, key="rows", cost="rows")
    registry.add(TaskDef(lambda rows: None, "shop.report", options))
    begin = "2020-01-01T00:00:00Z"
    own = Repeatable(task="shop.report", name="own", args=[40], every=60.0, start=begin)
    other = msgspec.structs.replace(own, name="other", priority=7, ttl=60.0, key="mine", cost=3)
    # A job of this one costs one token, and has no key.
    wrong = msgspec.structs.replace(own, name="wrong", args=[""])

    async def declare(store: BaseBackend) -> None:
        context = ProcessContext(store, registry=registry, observer=Observer([]))
        async with context:
            repeatables = (own, other, wrong)
            serving = asyncio.create_task(Scheduler("mail", context, repeatables).run())

            async def declared() -> bool:
                return len(await store.schedules("mail")) == 3

            await eventually(declared)
            serving.cancel()
            await asyncio.wait([serving])

    in_store(declare)
    day = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T00:00:30Z", "--yes", "--json")
    expectations = (
        ("own", (2, 7_200.0, "40", 40)),
        ("other", (7, 60.0, "mine", 3)),
        ("wrong", (2, 7_200.0, None, 1)),
    )
    for name, expected in expectations:
        asyncmq("schedule", "pause", "mail", name)  # what is past is for a backfill then
        filled = asyncmq("schedule", "backfill", name, *day).json
        ids = [asyncmq("schedule", "run", "mail", name).out.strip(), filled["instants"][0]["job"]]
        for id in ids:
            job = asyncmq("job", "show", id, "--json").json
            assert (job["priority"], job["ttl"], job["key"], job["cost"]) == expected


@pytest.mark.usefixtures("schedules")
def test_list_for_people_and_awk(asyncmq: Operator) -> None:
    rows = asyncmq("schedule", "list").rows
    assert [row[:3] for row in rows] == [
        ["mail", "clean\\x20up", "shop.clean"],
        ["reports", "nightly", "shop.report"],
        ["reports", "tick", "tick"],
    ]
    assert rows[1][4:] == ["-", "no", "-", "0", "3", "*", "*", "*", "(Europe/Lisbon)"]
    assert rows[2][4:] == ["-", "no", "-", "every", "30", "s"]
    assert len(asyncmq("schedule", "list", "mail").rows) == 1


def test_list_shows_when_it_last_fired(asyncmq: Operator, in_store: InStore) -> None:
    async def change(store: BaseBackend) -> float:
        for every in (30.0, 20.0):
            tick = msgspec.json.encode(Repeatable(task="tick", every=every))
            declared = await store.declare("mail", {"tick": tick}, fresh=True)
        return declared

    instant = in_store(change) + 20
    [tick] = asyncmq("schedule", "list", "mail", "--json").json
    assert tick["last"] is None, "a change of a schedule is no instant of it"
    assert in_store(lambda store: store.fire("mail", "tick", instant, new("tick@1")))
    [tick] = asyncmq("schedule", "list", "mail", "--json").json
    assert datetime.fromisoformat(tick["last"]).timestamp() == pytest.approx(instant, abs=0.001)
    assert tick["next"] > tick["last"]


def test_what_a_pause_has_skipped_is_counted_and_shown(
    asyncmq: Operator, in_store: InStore
) -> None:
    async def pause(store: BaseBackend) -> None:
        often = Repeatable(task="tick", every=0.01)
        await store.declare("mail", {"often": msgspec.json.encode(often)}, fresh=True)
        await store.edit_schedule("mail", "often", "pause")
        [record] = await store.schedules("mail")

        async def one_came() -> bool:
            return count_instants(often, record.since, await store.now()) > 0

        await eventually(one_came)

    in_store(pause)
    asyncmq("schedule", "resume", "mail", "often")
    [often] = asyncmq("schedule", "list", "--json").json
    assert often["skipped"]["paused"] > 0
    assert (often["skipped_for"], often["skipped_last"]) == ("paused", often["last"])
    assert (often["fired"], often["job"], often["missed"]) == (None, None, "once")


async def test_no_instant_of_a_pause_is_lost_to_the_time_that_a_resume_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = InMemoryBackend()
    often = Repeatable(task="tick", every=0.01)
    await store.declare("mail", {"often": msgspec.json.encode(often)}, fresh=True)
    await edit(store, "mail", "often", "pause")
    [before] = await store.schedules("mail")
    resume = store.edit_schedule

    async def late(*asked: Any) -> bool:
        counted = count_instants(often, before.since, await store.now())

        async def another_came() -> bool:
            return count_instants(often, before.since, await store.now()) > counted

        await eventually(another_came)
        return await resume(*asked)

    monkeypatch.setattr(store, "edit_schedule", late)
    await edit(store, "mail", "often", "resume")
    [after] = await store.schedules("mail")
    assert after.tally.counts.get("paused", 0) == count_instants(often, before.since, after.since)


def test_list_tells_what_became_of_the_last_job_and_why_an_instant_did_not_fire(
    asyncmq: Operator, in_store: InStore
) -> None:
    async def fire(store: BaseBackend) -> tuple[float, float]:
        tick = msgspec.json.encode(Repeatable(task="tick", every=30.0))
        start = await store.declare("mail", {"tick": tick}, fresh=True)
        assert await store.fire("mail", "tick", start + 1, new("tick@1"))
        return start + 1, start + 3

    first, second = in_store(fire)
    [tick] = asyncmq("schedule", "list", "mail", "--json").json
    assert (tick["job"], tick["outcome"], tick["why"]) == ("tick@1", "waiting", None)
    assert tick["last"] == tick["fired"]
    passed = Passed(first, {"late": 2})
    in_store(lambda store: store.fire("mail", "tick", second, None, passed))
    in_store(lambda store: store.remove("mail", ["tick@1"]))
    [tick] = asyncmq("schedule", "list", "mail", "--json").json
    assert (tick["outcome"], tick["skipped"]) == ("gone", {"late": 2})
    assert tick["last"] == tick["skipped_last"] > tick["fired"]
    assert tick["why"] == "it was missed for longer than catch_up"
    assert "every 30 s: last skipped, it was missed for longer" in asyncmq("schedule", "list").out


def test_list_tells_of_a_job_that_waits_for_the_one_that_it_replaced(
    asyncmq: Operator, in_store: InStore
) -> None:
    async def replace(store: BaseBackend) -> None:
        tick = msgspec.json.encode(Repeatable(task="tick", every=30.0, overlap="replace"))
        start = await store.declare("mail", {"tick": tick}, fresh=True)
        await store.fire("mail", "tick", start + 1, new("old"), None, "replace")
        await store.claim("mail", 1, 60.0, "web1/a#1")
        await store.fire("mail", "tick", start + 2, new("new"), None, "replace")

    in_store(replace)
    [tick] = asyncmq("schedule", "list", "--json").json
    assert (tick["job"], tick["outcome"], tick["waits_for"]) == ("new", "blocked", "old")
    assert tick["replaced"] == 1
    assert "every 30 s: waits for the end of old" in asyncmq("schedule", "list").out
    assert asyncmq("job", "show", "new", "--json").json["waits_for"] == ["old"]
    assert "Replaced: a later instant" in asyncmq("job", "show", "old").out


def declare(in_store: InStore, queue: str, **fields: Any) -> None:
    schedule = Repeatable(task="shop.report", name="nightly", **fields)
    spec = {"nightly": msgspec.json.encode(schedule)}
    in_store(lambda store: store.declare(queue, spec, fresh=True))


def test_preview_shows_what_is_to_come_in_the_zone_and_in_utc(
    asyncmq: Operator, in_store: InStore
) -> None:
    declare(in_store, "reports", cron="30 1 * * *", timezone="Asia/Kolkata", jitter=60.0)
    found = asyncmq("schedule", "preview", "nightly", "--count", "3", "--json").json
    named = (found["queue"], found["timezone"], found["problem"])
    assert named == ("reports", "Asia/Kolkata", None)
    assert len(found["instants"]) == 3
    for each in found["instants"]:
        local, utc, due = (datetime.fromisoformat(each[key]) for key in ("local", "utc", "due"))
        assert local == utc
        assert (local.hour, local.minute, utc.hour, utc.minute) == (1, 30, 20, 0)
        assert 0 < (due - utc).total_seconds() < 60
    rows = asyncmq("schedule", "preview", "reports", "nightly").rows
    assert len(rows) == 10
    assert rows[0][0] == found["instants"][0]["local"]
    in_store(lambda store: store.edit_schedule("reports", "nightly", "pause"))
    assert "nightly: it is paused" in asyncmq("schedule", "preview", "nightly").out


@pytest.mark.parametrize(
    ("fields", "count", "problem"),
    [
        ({"enabled": False}, 0, "it is not enabled"),
        ({"end": "2020-01-01T00:00:00+00:00"}, 0, "it ended at 2020-01-01T00:00:00+00:00"),
        ({"end": "9998-01-01T00:00:30+00:00", "start": "9998-01-01T00:00:00+00:00"}, 1, "no other"),
    ],
)
def test_preview_and_list_tell_why_nothing_comes(
    asyncmq: Operator, in_store: InStore, fields: dict[str, Any], count: int, problem: str
) -> None:
    declare(in_store, "mail", every=60.0, **fields)
    found = asyncmq("schedule", "preview", "nightly", "--json").json
    assert len(found["instants"]) == count
    assert found["problem"].startswith(problem)
    if not count:
        [listed] = asyncmq("schedule", "list", "--json").json
        assert (listed["problem"], listed["next"]) == (problem, None)


def test_preview_wants_one_schedule(asyncmq: Operator, in_store: InStore) -> None:
    for queue in ("mail", "reports"):
        declare(in_store, queue, every=60.0)
    answer = asyncmq("schedule", "preview", "nightly")
    assert answer.err == (
        "asyncmq: schedule nightly: queues mail and reports have it; expected a queue before it\n"
    )
    assert asyncmq("schedule", "preview", "mail", "nightly").code == 0
    answer = asyncmq("schedule", "preview", "nowhere")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "asyncmq: schedule nowhere: no queue has one of this name\n"
    answer = asyncmq("schedule", "preview", "nigthly")
    assert answer.err.endswith("no queue has one of this name (did you mean nightly?)\n")
    assert asyncmq("schedule", "pause", "mail", "nigthly").err.endswith(
        "schedule nigthly: queue mail has none of this name (did you mean nightly?)\n"
    )
    assert asyncmq("schedule", "preview", "a", "b", "c").code == 2


RANGE = ("--from", "2026-03-28T00:00:00Z", "--to", "2026-03-30T23:59:59+00:00")


def test_backfill_shows_first_and_enqueues_each_instant_once(
    asyncmq: Operator, in_store: InStore
) -> None:
    """Over the night in which the clocks of Lisbon change."""
    declare(in_store, "reports", cron="30 12 * * *", timezone="Europe/Lisbon", args=[7], ttl=60.0)
    rows = asyncmq("schedule", "backfill", "nightly", *RANGE, "--dry-run").rows
    assert [row[0] for row in rows[:3]] == [
        "2026-03-28T12:30:00.000Z",
        "2026-03-29T11:30:00.000Z",
        "2026-03-30T11:30:00.000Z",
    ]
    assert [row[3] for row in rows[:3]] == ["new"] * 3
    assert rows[3:] == [["3", "jobs", "to", "enqueue"]]
    assert asyncmq("job", "list", "--json").json == []
    refused = asyncmq("schedule", "backfill", "nightly", *RANGE)
    assert (refused.code, "expected --yes" in refused.err) == (2, True)
    before = asyncmq("schedule", "list", "--json").json
    done = asyncmq("schedule", "backfill", "reports", "nightly", *RANGE, "--yes", "--json").json
    assert (done["jobs"], done["enqueued"], done["own"]) == (3, 3, 0)
    assert asyncmq("schedule", "list", "--json").json == before
    jobs = asyncmq("job", "list", "--json").json
    assert {each["id"] for each in jobs} == {each["job"] for each in done["instants"]}
    assert all((each["schedule"], each["args"]) == ("nightly", [7]) for each in jobs)
    assert {each["instant"] for each in jobs} == {row[0] for row in rows[:3]}
    again = asyncmq("schedule", "backfill", "nightly", *RANGE, "--yes")
    assert again.out.endswith("0 jobs enqueued\n")
    assert [row[3] for row in again.rows[:3]] == ["waiting"] * 3


def test_backfill_leaves_what_is_to_come_to_the_schedule(
    asyncmq: Operator, in_store: InStore
) -> None:
    declare(in_store, "mail", every=60.0, enabled=False)
    now = in_store(lambda store: store.now())
    start, end = (datetime.fromtimestamp(now + each, UTC).isoformat() for each in (-90, 90))
    found = asyncmq("schedule", "backfill", "nightly", "--from", start, "--to", end, "--dry-run")
    assert "later instants are left to the schedule" in found.out
    planned = asyncmq(
        "schedule", "backfill", "nightly", "--from", start, "--to", end, "--yes", "--json"
    ).json
    assert planned["jobs"] == planned["enqueued"] == len(planned["instants"])
    assert planned["jobs"] in {1, 2}
    assert planned["jobs"] + planned["own"] == 3


@pytest.mark.parametrize("silence", ["paused", "disabled", "altered"])
def test_backfill_fills_in_what_the_schedule_will_not_fire_any_more(
    asyncmq: Operator, in_store: InStore, silence: str
) -> None:
    async def pass_instants(store: BaseBackend) -> float:
        await asyncio.sleep(0.05)
        return await store.now()

    declare(in_store, "mail", every=0.01)
    [record] = in_store(lambda store: store.schedules("mail"))
    if silence == "paused":
        in_store(lambda store: store.edit_schedule("mail", "nightly", "pause"))
    elif silence == "disabled":
        declare(in_store, "mail", every=0.01, enabled=False)
    until = in_store(pass_instants)
    if silence == "altered":
        declare(in_store, "mail", every=0.02)
    start, end = (datetime.fromtimestamp(each, UTC).isoformat() for each in (record.last, until))
    words = ("backfill", "nightly", "--from", start, "--to", end, "--yes", "--json")
    filled = asyncmq("schedule", *words).json
    assert filled["own"] == 0
    assert filled["enqueued"] == len(filled["instants"]) > 1


@pytest.mark.parametrize(
    ("start", "end", "code", "error"),
    [
        ("2026-03-28", "2026-03-29T00:00:00Z", 2, "expected a date and time with an offset"),
        ("2026-03-29T00:00:00Z", "2026-03-28T00:00:00Z", 1, "expected a range that ends after"),
        ("2016-03-29T00:00:00Z", "2026-03-28T00:00:00Z", 1, "expected at most 10000 instants"),
    ],
)
def test_a_range_that_cannot_be_is_refused(
    asyncmq: Operator, in_store: InStore, start: str, end: str, code: int, error: str
) -> None:
    declare(in_store, "mail", every=60.0)
    answer = asyncmq("schedule", "backfill", "nightly", "--from", start, "--to", end, "--yes")
    assert (answer.code, answer.out) == (code, "")
    assert error in answer.err


@pytest.mark.usefixtures("schedules")
def test_run_enqueues_its_job_now(asyncmq: Operator) -> None:
    id = asyncmq("schedule", "run", "reports", "nightly").out.strip()
    job = asyncmq("job", "show", id, "--json").json
    expected = {
        "queue": "reports",
        "task": "shop.report",
        "state": "waiting",
        "args": [1],
        "kwargs": {"deep": True},
        "priority": 9,
        "retries": 4,
        "ttl": 60.0,
        "schedule": "nightly",
    }
    assert {key: job[key] for key in expected} == expected
    assert job["instant"] <= job["created"], "the time of the command"


@pytest.mark.usefixtures("schedules")
def test_pause_resume_remove(asyncmq: Operator) -> None:
    def paused() -> list[bool]:
        return [each["paused"] for each in asyncmq("schedule", "list", "reports", "--json").json]

    assert asyncmq("schedule", "pause", "reports", "nightly").out == "nightly paused\n"
    assert paused() == [True, False]
    assert asyncmq("schedule", "list", "reports", "--json").json[0]["next"] is None
    assert asyncmq("schedule", "resume", "reports", "nightly").out == "nightly resumed\n"
    assert paused() == [False, False]
    assert asyncmq("schedule", "remove", "reports", "nightly").out == "nightly removed\n"
    assert paused() == [False]
    noted = asyncmq("operation", "list", "--json").json
    assert [each["verb"] for each in noted] == [
        "remove_schedule",
        "resume_schedule",
        "pause_schedule",
    ]
    assert {(each["schedule"], each["by"]) for each in noted} == {("nightly", system_user())}


@pytest.mark.usefixtures("schedules")
@pytest.mark.parametrize("action", ["run", "pause", "resume", "remove"])
def test_a_schedule_that_is_not_there_is_refused(asyncmq: Operator, action: str) -> None:
    answer = asyncmq("schedule", action, "mail", "nightly")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "asyncmq: schedule nightly: queue mail has none of this name\n"


@pytest.mark.usefixtures("schedules")
def test_what_no_daemon_declares_has_no_next_time(asyncmq: Operator, in_store: InStore) -> None:
    in_store(lambda store: store.withdraw([("reports", ["nightly"])]))
    nightly, tick = asyncmq("schedule", "list", "reports", "--json").json
    assert (nightly["next"], nightly["seen"]) == (None, None)
    assert nightly["problem"] == "no daemon declares it"
    assert tick["next"] is not None
    assert tick["problem"] is None
    assert "no daemon declares it" in asyncmq("schedule", "list", "reports").out


def test_a_schedule_that_means_nothing_here_says_why(asyncmq: Operator, in_store: InStore) -> None:
    spec = msgspec.json.encode(Repeatable(task="t", cron="0 3 * * *", timezone="Mars/Olympus"))
    in_store(lambda store: store.declare("mail", {"far": spec}, fresh=True))
    [far] = asyncmq("schedule", "list", "--json").json
    assert far["next"] is None
    assert "Mars/Olympus" in far["problem"]


def test_a_corrupt_schedule_can_be_seen_and_removed(asyncmq: Operator, in_store: InStore) -> None:
    in_store(lambda store: store.declare("mail", {"bad": b"\xff{"}, fresh=True))
    [bad] = asyncmq("schedule", "list", "--json").json
    assert (bad["name"], bad["task"], bad["next"]) == ("bad", None, None)
    assert asyncmq("schedule", "list").rows[0][:4] == ["mail", "bad", "-", "-"]
    assert asyncmq("schedule", "run", "mail", "bad").code == 1
    assert asyncmq("schedule", "remove", "mail", "bad").code == 0
