"""The store's clock: it never goes back, and it heals."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmqd.backends.sqlite import SQLiteBackend, clock
from asyncmqd.backends.sqlite.clock import PATIENCE, TOLERANCE, Anchor, HostClock
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.settle import Policy, Retention, Succeeded, settle
from asyncmqd.domain.states import State

HOUR = 3_600.0


class Host:
    """A host whose clocks a test moves."""

    def __init__(self) -> None:
        self.wall, self.since_boot, self.boot = 1_000_000.0, 500.0, "first"

    def clock(self) -> HostClock:
        return HostClock(lambda: self.wall, lambda: self.since_boot, self.boot)

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.since_boot += seconds

    def reboot(self) -> None:
        self.since_boot, self.boot = 1.0, self.boot + "+"


@pytest.fixture
def host() -> Host:
    return Host()


def now(host: Host, anchor: Anchor) -> float:
    return anchor.time_at(host.clock().since_boot()) / 1e6


def test_while_nothing_jumps_it_is_the_wall_clock(host: Host) -> None:
    anchor = host.clock().first()
    for _ in range(100):
        host.pass_(7.3)
        anchor = host.clock().adjusted(anchor)
        assert now(host, anchor) == pytest.approx(host.wall, abs=1e-5)


def test_it_follows_a_jump_ahead(host: Host) -> None:
    anchor = host.clock().first()
    host.wall += HOUR
    assert now(host, host.clock().adjusted(anchor)) == host.wall


def test_after_a_step_back_it_goes_on_at_half_speed_until_the_wall_has_caught_up(
    host: Host,
) -> None:
    anchor = host.clock().first()
    host.wall -= 240
    before = now(host, anchor)
    for passed in range(10, 480, 10):
        host.pass_(10)
        anchor = host.clock().adjusted(anchor)
        # The ten seconds before the first look count in full: nobody knew of the step.
        assert now(host, anchor) == pytest.approx(before + 5 + passed / 2, abs=1e-3)
    for _ in range(10):
        host.pass_(10)
        anchor = host.clock().adjusted(anchor)
    assert now(host, anchor) == pytest.approx(host.wall)
    host.pass_(10)
    assert now(host, anchor) == pytest.approx(host.wall), "at full speed again"


def test_what_ten_minutes_do_not_heal_is_followed_back(host: Host) -> None:
    """A host that was a year ahead: it would take two years at half speed."""
    anchor = host.clock().first()
    host.wall += 365 * 24 * HOUR
    anchor = host.clock().adjusted(anchor)
    assert now(host, anchor) == host.wall
    host.wall -= 365 * 24 * HOUR
    for _ in range(60):
        anchor = host.clock().adjusted(anchor)
        assert now(host, anchor) > host.wall + HOUR
        host.pass_(10)
    anchor = host.clock().adjusted(anchor)
    assert now(host, anchor) == pytest.approx(host.wall)
    host.pass_(10)
    assert now(host, host.clock().adjusted(anchor)) == pytest.approx(host.wall), "at full speed"


def test_a_host_that_boots_in_the_past_has_time_to_ask_the_network(host: Host) -> None:
    anchor = host.clock().first()
    host.reboot()
    host.wall = 0.0
    anchor = host.clock().adjusted(anchor)
    host.pass_(60)
    assert now(host, host.clock().adjusted(anchor)) > anchor.time / 1e6
    host.wall = 1_000_100.0
    assert now(host, host.clock().adjusted(anchor)) == host.wall


def test_a_distance_that_reading_two_clocks_may_cause_is_no_jump(host: Host) -> None:
    anchor = host.clock().first()
    for step in (0.9, -0.9):
        host.wall += step * TOLERANCE / 1e6
        assert host.clock().adjusted(anchor) is anchor


def test_it_outlives_a_reboot_into_the_past(host: Host) -> None:
    anchor = host.clock().first()
    host.pass_(0.5)
    host.wall = 0.0
    host.reboot()
    again = host.clock().adjusted(anchor)
    assert now(host, again) == anchor.time / 1e6
    host.pass_(100)
    assert now(host, again) == anchor.time / 1e6 + 50


def test_after_a_reboot_it_is_the_wall_clock_again(host: Host) -> None:
    anchor = host.clock().first()
    host.pass_(HOUR)
    host.reboot()
    assert now(host, host.clock().adjusted(anchor)) == host.wall


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 100.0),  # passes
            st.sampled_from([0.0, 0.0, 0.0, 0.03, -0.03, -0.5, 10.0, -10.0, -HOUR, HOUR]),  # steps
            st.booleans(),  # a writer looks
        ),
        max_size=50,
    )
)
def test_it_goes_back_only_after_ten_minutes_and_runs_at_least_at_half_speed(
    steps: list[tuple[float, float, bool]],
) -> None:
    host = Host()
    anchor = host.clock().first()
    last = now(host, anchor)
    behind = 0.0  # for so many seconds it has been slow
    for passed, step, looks in steps:
        host.pass_(passed)
        host.wall += step
        if looks:
            anchor = host.clock().adjusted(anchor)
        time = now(host, anchor)
        gave_up = behind + passed >= PATIENCE / 1e6 - 1e-3 and looks
        assert time >= last + passed / 2 - 1e-5 or (gave_up and time == pytest.approx(host.wall))
        behind = behind + passed if anchor.slow else 0.0
        if looks:
            assert time >= host.wall - TOLERANCE / 1e6 - 1e-5, "behind the wall clock"
        last = time


# ---------------------------------------------------------------- in a store


def open_store(tmp_path: Path, host: Host) -> SQLiteBackend:
    return SQLiteBackend(
        f"sqlite://{tmp_path}/jobs.db",
        now=lambda: host.wall,
        since_boot=lambda: host.since_boot,
        boot=host.boot,
    )


async def test_a_delay_goes_on_while_the_wall_clock_is_behind(tmp_path: Path, host: Host) -> None:
    store = open_store(tmp_path, host)
    await store.add("mail", [NewJob(id="a", payload=b"", delay=60)])
    host.wall -= 2 * HOUR
    await store.add("mail", [NewJob(id="b", payload=b"")])
    host.pass_(119)
    assert await store.move_due("mail") == 0
    host.pass_(2)
    assert await store.move_due("mail") == 1
    await store.close()


YEAR = 365 * 24 * HOUR


async def test_a_year_ahead_and_corrected_leaves_no_date_of_that_year(
    tmp_path: Path, host: Host
) -> None:
    """Delays, retries, schedules, the keeping of what ended: all go on as if it had not been."""
    store = open_store(tmp_path, host)
    await store.add("mail", [NewJob(id="far", payload=b"", delay=2 * YEAR)])
    await store.declare("mail", {"each": b"spec"}, fresh=False)
    host.wall += YEAR
    await store.add("mail", [NewJob(id="soon", payload=b"", delay=1_000.0)])
    await store.add("mail", [NewJob(id="done", payload=b"")])
    [done] = await store.claim("mail", 1, 60.0, "w")
    policy = Policy(retention=Retention(result_ttl=5_000.0))
    await store.apply("mail", [settle(done, Succeeded(b"1"), policy, 0.5)])
    assert await store.fire("mail", "each", host.wall + 1, None)
    host.wall -= YEAR
    await store.pause("mail", False)
    assert "half speed" in await store.durability_warning()
    host.pass_(601)
    await store.pause("mail", False)
    assert await store.now() == pytest.approx(host.wall)
    assert await store.durability_warning() == ""
    due = {each.id: each.due for each in await store.list("mail", State.DELAYED)}
    assert due["soon"] == pytest.approx(host.wall + 1_000 - 601 / 2, abs=1)
    assert due["far"] == pytest.approx(1_000_000.0 + 2 * YEAR, abs=1)
    [ended] = await store.list("mail", State.COMPLETED)
    assert ended.finished == pytest.approx(host.wall - 601 / 2, abs=1)
    assert ended.created <= host.wall
    [schedule] = await store.schedules("mail")
    assert schedule.last <= host.wall
    assert await store.fire("mail", "each", host.wall + 1, None)
    host.pass_(5_000)
    assert await store.prune("mail", Retention()) == 1
    assert await store.move_due("mail") == 1
    await store.close()


async def test_all_instances_and_the_next_ones_share_the_clock(tmp_path: Path, host: Host) -> None:
    one, two = open_store(tmp_path, host), open_store(tmp_path, host)
    await one.add("mail", [NewJob(id="a", payload=b"")])
    host.wall -= HOUR
    await one.add("mail", [NewJob(id="b", payload=b"")])
    host.pass_(10)
    at = await one.now()
    assert at == await two.now() == 1_000_000.0 + 5
    await one.close()
    await two.close()
    again = open_store(tmp_path, host)
    assert await again.now() == at
    await again.close()


async def test_leases_do_not_notice_a_jump_of_the_wall_clock(tmp_path: Path, host: Host) -> None:
    store = open_store(tmp_path, host)
    await store.add("mail", [NewJob(id="a", payload=b"")])
    await store.claim("mail", 1, 15.0, "w")
    for step in (HOUR, -2 * HOUR):
        host.wall += step
        await store.pause("mail", False)
        assert (await store.expired("mail")).claims == []
        outlook = (await store.outlook(["mail"]))["mail"]
        assert outlook.next_lapse == pytest.approx(outlook.now + 15.0)
    host.pass_(15.0)
    assert len((await store.expired("mail")).claims) == 1
    await store.close()


async def test_no_lease_and_no_worker_outlives_a_reboot(tmp_path: Path, host: Host) -> None:
    store = open_store(tmp_path, host)
    await store.add("mail", [NewJob(id="a", payload=b""), NewJob(id="b", payload=b"")])
    await store.claim("mail", 1, 1_000_000.0, "w")
    await store.beat("w", b"{}", 1_000_000.0)
    await store.watch(1_000_000.0)
    await store.close()
    host.reboot()
    store = open_store(tmp_path, host)
    assert [claim.id for claim in (await store.expired("mail")).claims] == ["a"]
    assert await store.workers() == []
    assert not await store.publish([b"{}"])
    [active] = await store.list("mail", State.ACTIVE)
    assert active.due is not None
    assert active.due <= await store.now()
    await store.close()


@pytest.mark.parametrize("hours", [1, -1])
async def test_who_only_reads_sees_the_clock_that_somebody_looked_at(
    tmp_path: Path, host: Host, hours: int
) -> None:
    store, other = open_store(tmp_path, host), open_store(tmp_path, host)
    before = await store.now()
    host.wall += hours * HOUR
    await other.connect()
    host.pass_(10)
    assert await store.now() == (host.wall if hours > 0 else before + 5)
    await store.close()
    await other.close()


async def test_the_clock_runs_after_a_reboot_of_an_idle_store(tmp_path: Path, host: Host) -> None:
    store = open_store(tmp_path, host)
    await store.connect()
    await store.close()
    host.reboot()
    host.pass_(60)
    store = open_store(tmp_path, host)
    for _ in range(3):
        host.pass_(10)
        assert await store.now() == host.wall
    await store.close()


def test_a_hidden_boot_id_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "boot_id")
    with pytest.raises(ValueError, match=r"expected to read .*/boot_id, got No such file"):
        clock.boot_id()


async def test_events_that_nobody_watches_any_more_are_deleted(tmp_path: Path, host: Host) -> None:
    store = open_store(tmp_path, host)
    await store.watch(60.0)
    await store.publish([b"{}"])
    host.pass_(61)
    assert await store.beat("w", b"{}", 30.0) == []
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)
    await store.close()
