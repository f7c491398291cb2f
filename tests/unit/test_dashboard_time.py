"""What the dashboard puts on strips of time and charts: instants to come, and what happened."""

from __future__ import annotations

from itertools import pairwise

from asyncmqd.admin.history import ends_of, of_queue
from asyncmqd.admin.marks import happenings
from asyncmqd.admin.schedules import MOST_AHEAD, ahead
from asyncmqd.backends.memory import InMemoryBackend
from asyncmqd.domain.history import MINUTE, Period
from asyncmqd.domain.marks import KEPT_FOR, Mark, encode
from asyncmqd.web.dashboard.charts import Axis, strip

HOUR = 3_600.0


async def test_the_instants_ahead_are_bounded() -> None:
    store = InMemoryBackend(now=lambda: 86_400.0 * 365)
    specs = {
        "often": b'{"task":"f","every":10,"queue":"mail"}',
        "hourly": b'{"task":"f","every":3600,"queue":"mail"}',
        "seldom": b'{"task":"f","cron":"0 3 1 6 *","queue":"mail"}',
        "spoilt": b"{",
    }
    await store.declare("mail", specs, fresh=True)
    found = {each.view.name: each for each in await ahead(store, 24 * HOUR)}
    assert (len(found["often"].instants), found["often"].more) == (MOST_AHEAD, True)
    assert (len(found["hourly"].instants), found["hourly"].more) == (24, False)
    assert (found["seldom"].instants, found["spoilt"].instants) == ([], [])
    await store.edit_schedule("mail", "hourly", "pause")
    [hourly] = [each for each in await ahead(store, HOUR, "mail") if each.view.name == "hourly"]
    assert hourly.instants == []


async def test_a_sparkline_has_the_numbers_of_the_history() -> None:
    now = 1_000_037.0 * MINUTE
    store = InMemoryBackend(now=lambda: now)
    for ago in (300, 118, 95, 91, 40, 7, 6):
        period = Period(1_000_037 - ago, [9, 9, ago, 1, 2], [], [20, 3], [22, 4])
        await store.note({"mail": period}, over=False)
    found, at = await ends_of(store, "mail", 2)
    whole = (await of_queue(store, "mail", 2)).stretches
    assert [(e.completed, e.failed) for e in found] == [
        (e.completed, e.failed + e.retried) for e in whole
    ]
    assert (len(found), at) == (5, now)
    for each, later in pairwise(found):
        assert each.begin + each.minutes * MINUTE <= later.begin


def test_a_strip_shows_what_was_and_what_comes() -> None:
    axis, done = Axis(0.0, 200.0), [(50.0, "past"), (60.0, "skipped"), (-1.0, "past")]
    drawn = strip(axis, 100.0, done, [120.0, 140.0], more=False)
    assert drawn.count('class="past"') == drawn.count('class="skipped"') == 1
    assert drawn.count("3h2v") == 2
    assert "2 instants to come" in drawn
    dense = strip(axis, 100.0, [], [120.0, 140.0], more=True)
    assert dense.count("M216 3h144v") == 1, "one bar from the first to the end"


async def test_a_start_with_other_files_is_a_deploy() -> None:
    now = 1_000_000.0
    store = InMemoryBackend(now=lambda: now)
    for number, code in enumerate(("one", "one", "", "two")):
        now += 1.0
        await store.mark(f"started:{number}", encode(Mark("started", f"d{number}", code=code)))
    await store.mark("later release", encode(Mark("rebalanced", "d9")))
    found = await happenings(store, [], 1.0)
    assert [(each.kind, each.who) for each in found] == [
        ("deployed", "d3"),
        ("started", "d2"),
        ("started", "d1"),
        ("started", "d0"),
    ]
    now += 2 * HOUR
    assert await happenings(store, [], 1.0) == []
    assert len(await happenings(store, [], KEPT_FOR / HOUR)) == 4


async def test_a_restart_beside_daemons_with_other_files_is_no_deploy() -> None:
    """Copies of the same release have times of their own on each host."""
    now = 1_000_000.0
    store = InMemoryBackend(now=lambda: now)
    starts = [("a/1", "x"), ("b/1", "y"), ("a/2", "x"), ("b/2", "y"), ("a/3", "z"), ("c/1", "z")]
    for who, code in starts:
        now += 1.0
        await store.mark(who, encode(Mark("started", who, code=code)))
    found = await happenings(store, [], 1.0)
    assert [each.who for each in found if each.kind == "deployed"] == ["a/3", "b/1"]


async def test_the_ends_of_a_daemon_s_processes_are_one() -> None:
    """Sixteen of them would hide the deploy beside which they are listed."""
    now = 1_000_000.0
    store = InMemoryBackend(now=lambda: now)
    for kind, who, later in (
        ("stopped", "a/1/x", 0.0),
        ("stopped", "b/y", 1.0),
        ("stopped", "a/2/x", 1.0),
        ("stopped", "a/3/x", 8.0),
        ("stopped", "a/1/z", 11.0),
        ("died", "a/2/z", 1.0),
    ):
        now += later
        await store.mark(f"{kind} {who}", encode(Mark(kind, who)))
    found = await happenings(store, [], 1.0)
    assert [(each.kind, each.who, each.what) for each in reversed(found)] == [
        ("stopped", "a", "3 processes"),
        ("stopped", "b/y", None),
        ("stopped", "a/1/z", None),
        ("died", "a/2/z", None),
    ]
