"""A Redis that is replicated: what a promotion may lose, and what `min_replicas` does about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
import redis

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.backends.factory import open_backend
from asyncmqd.backends.redis import adding
from asyncmqd.domain import clock
from asyncmqd.domain.job import NewJob
from tests.added import are_new
from tests.daemon.harness import until
from tests.eventually import eventually
from tests.faults.conftest import Scene
from tests.faults.forked import ForkedDaemon
from tests.faults.ledger import QUEUE, read, records_of
from tests.faults.proxy import BOTH, Proxy
from tests.scale import scaled
from tests.servers import RedisServer

BACK_AT_WORK = scaled(15.0, 5.0)  # seconds after the promotion; see tests/scale.py
DOWN_AFTER = 500  # milliseconds until a dead master counts as dead
PATIENCE = 120_000  # milliseconds, at other times: a living one on a busy machine is silent, too


class Pair:
    """A master, its replica, and a sentinel that promotes the one when the other is silent.

    `others` are further replicas, which are not promoted. With `stays` no sentinel makes a replica
    of the old master, which it else does ten seconds after the promotion: until `demote` all that
    is sent to it is taken, and lost.
    """

    def __init__(
        self, stack: ExitStack, place: Path, others: int = 0, *, stays: bool = False
    ) -> None:
        """The replica listens through a proxy, which makes it lag.

        Sentinel would mend that after eight seconds: it knows a better address of the master.
        """

        def start(name: str, *arguments: str, **options: str) -> RedisServer:
            (place / name).mkdir()
            lines = {"repl-diskless-sync-delay": "0"}
            lines |= {key.replace("_", "-"): value for key, value in options.items()}
            server = RedisServer(
                "valkey9", place / name, tcp=True, options=lines, arguments=arguments
            )
            return stack.enter_context(server)

        unknown = {"rename-command": 'SLAVEOF ""'}  # what Sentinel says; it is REPLICAOF, too
        self.master = start("m", **(unknown if stays else {}))
        self.link = stack.enter_context(Proxy(self.master.port))
        self.replica = start("r", replicaof=f"127.0.0.1 {self.link.port}")
        further = {"replicaof": f"127.0.0.1 {self.master.port}", "replica-priority": "200"}
        self.others = [start(f"o{number}", **further) for number in range(others)]
        until(self.in_step)
        self.sentinel = start("s", "--sentinel", **{"sentinel monitor": self._monitor})
        with self.sentinel.client() as client:
            client.execute_command("SENTINEL", "SET", "jobs", "down-after-milliseconds", PATIENCE)
            client.execute_command("SENTINEL", "SET", "jobs", "failover-timeout", "3000")
            until(lambda: _priorities(client) == [100, *others * [200]])
        self.url = f"redis+sentinel://127.0.0.1:{self.sentinel.port}/jobs"

    @property
    def _monitor(self) -> str:
        return f"jobs 127.0.0.1 {self.master.port} 1"

    def in_step(self) -> bool:
        return all(map(_follows, [self.replica, *self.others]))

    def lag(self) -> None:
        """From now on the replica gets nothing."""
        self.link.silence(*BOTH)

    def lose_master(self) -> None:
        """It dies, and what the replica has not got it never gets."""
        self.master.kill()
        self.link.cut()
        self._watch(DOWN_AFTER)

    def promote(self) -> None:
        """Make the replica the master while the master lives."""
        until(self._promoted)

    def demote(self) -> None:
        """Make the old master a replica, as Sentinel does unless it `stays`."""
        with self.master.client() as client:
            client.replicaof("127.0.0.1", str(self.replica.port))

    def until_announced(self) -> None:
        """Wait until Sentinel names the new master: up to a second after it is one."""
        until(lambda: self._named() == self.replica.port)

    def _named(self) -> int:
        with self.sentinel.client() as client:
            return int(client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", "jobs")[1])

    def _promoted(self) -> bool:
        if role(self.replica) == "master":
            return True
        # Again and again: at the wrong moment Sentinel finds no replica good enough, and gives up.
        with self.sentinel.client() as client, suppress(redis.ResponseError):
            client.execute_command("SENTINEL", "FAILOVER", "jobs")
        return False

    def until_promoted(self) -> None:
        until(lambda: role(self.replica) == "master")
        # One promotion is what is tested. With the limit as it was, a busy machine made it two, and
        # the second one took back what the first had kept.
        self._watch(PATIENCE)

    def _watch(self, down_after: int) -> None:
        with self.sentinel.client() as client:
            client.execute_command("SENTINEL", "SET", "jobs", "down-after-milliseconds", down_after)

    def follow(self) -> None:
        """Start the dead master anew, as the replica of the new one."""
        self.master._options["replicaof"] = f"127.0.0.1 {self.replica.port}"
        self.master.start()


def _priorities(sentinel: redis.Redis) -> list[int]:
    """Of the replicas that a sentinel has asked for it."""
    found = sentinel.execute_command("SENTINEL", "REPLICAS", "jobs")
    return sorted(int(each[b"slave-priority"]) for each in found if each[b"runid"])


def _follows(server: RedisServer) -> bool:
    with server.client() as client:
        return client.info("replication")["master_link_status"] == "up"


@pytest.fixture
def pair(place: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, place)


def role(server: RedisServer) -> str:
    try:
        with server.client() as client:
            return client.info("replication")["role"]
    except redis.ConnectionError:  # a server whose role changes cuts its clients off
        return ""


def variants(fault: str) -> pytest.MarkDecorator:
    """What is lost without waiting for replicas is a measurement, for the full counts."""
    row = pytest.mark.row("F19", fault)
    careful, careless = pytest.param(1, id="min_replicas=1"), pytest.param(0, id="without")
    least = pytest.mark.parametrize("least", [careful, careless][: scaled(1, 2)])
    return lambda test: row(least(test))


@variants("promotion after a lag")
def test_promotion(pair: Pair, place: Path, least: int, figure):
    """The replica lags; then the master dies.

    What was accepted meanwhile is lost for ever unless the producer waits for replicas.
    """
    with closing(Scene(place, pair.url)) as scene:
        daemon = at_work(scene, f"{pair.url}?min_replicas={least}")
        pair.lag()
        before = read(scene.notes, "accepted")
        until(lambda: read(scene.notes, "refused") or len(not_run(scene) - before) > 4)
        pair.lose_master()
        pair.until_promoted()
        took = back_at_work(scene, pair.url)
        pair.follow()
        lost, doubled = outcome(scene, daemon)
        assert bool(lost) == (least == 0), "without waiting, a lag is a loss"
        assert took < BACK_AT_WORK
        figure(
            f"accepted {accepted(scene)}, lost {lost}{'' if least else ' (no limit)'}, doubled"
            f" {doubled}; back at work in {took:.2f} s (at most {BACK_AT_WORK:g})"
        )


@pytest.fixture
def three(place: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, place, others=1, stays=True)


@pytest.mark.row("F19", "planned failover with two replicas")
@pytest.mark.parametrize("least", [2, 0][: scaled(1, 2)])
def test_planned_failover(three: Pair, place: Path, least: int, figure):
    """With all replicas asked nothing is lost that was accepted.

    What they cannot confirm is refused, until the old master is a replica. Without, what was under
    way at the promotion may be lost.
    """
    with closing(Scene(place, three.url)) as scene:
        url = f"{three.url}?min_replicas={least}"
        daemon = at_work(scene, url)
        warned = " ".join(each["warning"] for each in daemon.all("daemon.warning"))
        assert "min_replicas is 0 and the server has 2 replicas" in warned  # the daemon's own URL
        three.promote()
        took = back_at_work(scene, url)
        # A process that is new has heard no announcement, and asks Sentinel: which names the old
        # master for up to a second after the replica was promoted. What it adds before is lost.
        three.until_announced()
        scene.enqueue(1, prefix="after", url=three.url)
        until(lambda: "after0" in daemon.tally())
        assert role(three.master) == "master", "followed by what is announced, not by being refused"
        three.demote()
        lost, doubled = outcome(scene, daemon)
        assert not (lost and least), fates(scene)
        assert took < BACK_AT_WORK
        figure(
            f"accepted {accepted(scene)}, lost {lost}{'' if least else ' (no limit)'}, doubled"
            f" {doubled}; back at work in {took:.2f} s (at most {BACK_AT_WORK:g})"
        )


async def test_an_application_follows_the_announcement(three: Pair):
    """What it is told is stored is with the new master, while the old one is still there."""
    store = open_backend(three.url)
    await store.add(QUEUE, [NewJob(id="before", payload=b"{}")])
    promoting = asyncio.create_task(asyncio.to_thread(three.promote))

    async def arrives() -> bool:
        id = clock.new_id()
        await store.add(QUEUE, [NewJob(id=id, payload=b"{}")])
        if not promoting.done():
            return False
        with three.replica.client() as client:
            return (
                client.exists(f"asyncmq:{{{QUEUE}}}:job:{id}") and role(three.replica) == "master"
            )

    await eventually(arrives)
    assert role(three.master) == "master"
    await store.close()


@variants("promotion while the old master lives")
def test_two_masters(pair: Pair, place: Path, least: int, figure):
    """Until it is demoted, the old master keeps the clients that have heard no announcement."""
    with closing(Scene(place, pair.url)) as scene:
        daemon = at_work(scene, f"{pair.url}?min_replicas={least}")
        pair.promote()
        began = time.monotonic()
        until(lambda: role(pair.master) == "slave", 60)
        two = time.monotonic() - began
        began = time.monotonic()
        scene.enqueue(1, prefix="after", url=pair.url)
        until(lambda: "after0" in daemon.tally())
        took = time.monotonic() - began
        lost, doubled = outcome(scene, daemon)
        assert not (lost and least)
        assert took < BACK_AT_WORK
        figure(
            f"two masters for {two:.1f} s; accepted {accepted(scene)}, lost {lost}"
            f"{'' if least else ' (no limit)'}, doubled {doubled}; back at work {took:.2f} s later"
            f" (at most {BACK_AT_WORK:g})"
        )


def at_work(scene: Scene, url: str) -> ForkedDaemon:
    """A producer on that URL, and a daemon which is too slow for it."""
    daemon = scene.daemon(queue="concurrency = 2\n", top="lease = 1").start()
    order = {"task": "nap", "args": [0.02], "batch": 5, "pause": 0.01}
    scene.enqueue(scaled(100, 1_000), url=url, **order)
    scene.until_ran(5)
    return daemon


def back_at_work(scene: Scene, url: str) -> float:
    """Seconds until the next job ends from now on: where all have ended meanwhile, one more."""
    began, so_far = time.monotonic(), scene.ran()
    scene.enqueue(1, prefix="more", url=url)
    until(lambda: scene.ran() > so_far)
    return time.monotonic() - began


def not_run(scene: Scene) -> set[str]:
    """Jobs that were accepted, and did not run yet."""
    return read(scene.notes, "accepted") - scene.daemons[0].tally().keys()


def fates(scene: Scene) -> list[str]:
    """What the store has of those jobs."""
    ids = sorted(not_run(scene))
    known = {each.id: each for each in records_of(scene.store, ids)}
    told = {id: f"{each.place}, crashes {each.crashes}" for id, each in known.items()}
    return [f"{id}: {told.get(id, 'gone')}" for id in ids]


def outcome(scene: Scene, daemon: ForkedDaemon) -> tuple[int, int]:
    """How many jobs were accepted and never ran, and how many runs there were too many."""
    scene.enqueued()
    scene.until_quiet()
    assert daemon.stop() == 0
    ran = daemon.tally()
    return len(not_run(scene)), ran.total() - len(ran)


def accepted(scene: Scene) -> int:
    return len(read(scene.notes, "accepted"))


@pytest.fixture
async def careful(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BaseBackend]:
    """A store that wants one replica to have each job."""
    monkeypatch.setattr(adding, "REPLICAS_TIMEOUT", scaled(0.2, 2.0))
    store = open_backend(f"{pair.master.tcp_url}?min_replicas=1")
    yield store
    await store.close()


@pytest.mark.row("F19", "a replica that lags: an enqueue with min_replicas")
async def test_too_few_replicas_are_an_error(pair: Pair, careful: BaseBackend, figure):
    job = [NewJob(id="a", payload=b"{}")]
    assert are_new(await careful.add(QUEUE, [NewJob(id="first", payload=b"{}")])) == [True]
    pair.lag()
    for _ in range(2):  # also when it is not new any more
        with pytest.raises(StoreError, match="expected 1 replicas to have the jobs, got 0 in time"):
            await careful.add(QUEUE, job)
    pair.link.mend()

    async def taken() -> bool:
        try:
            return are_new(await careful.add(QUEUE, job)) == [False]
        except StoreError:
            return False

    await eventually(taken)
    figure("refused twice, accepted under the same id once it was back")


async def test_forgotten_scripts_do_not_shorten_the_wait(pair: Pair, careful: BaseBackend):
    await careful.add(QUEUE, [NewJob(id="first", payload=b"{}")])
    with pair.master.client() as client:
        client.script_flush()
    pair.lag()
    with pytest.raises(StoreError, match="got 0"):
        await careful.add(QUEUE, [NewJob(id="a", payload=b"{}")])
