"""A Redis that is replicated: what a promotion may lose, and what `min_replicas` does about it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.backends.factory import open_backend
from asyncmqd.backends.redis import store as redis_store
from asyncmqd.domain.job import NewJob
from tests.daemon.harness import until
from tests.eventually import eventually
from tests.faults.conftest import Scene
from tests.faults.ledger import QUEUE, read
from tests.faults.proxy import BOTH, Proxy
from tests.scale import scaled
from tests.servers import RedisServer

BACK_AT_WORK = scaled(15.0, 5.0)  # seconds after the promotion; see tests/scale.py
DOWN_AFTER = 500  # milliseconds until a silent master counts as dead


class Pair:
    """A master, its replica, and a sentinel that promotes the one when the other is silent."""

    def __init__(self, stack: ExitStack, place: Path) -> None:
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

        self.master = start("m")
        self.link = stack.enter_context(Proxy(self.master.port))
        self.replica = start("r", replicaof=f"127.0.0.1 {self.link.port}")
        until(self.in_step)
        self.sentinel = start("s", "--sentinel", **{"sentinel monitor": self._monitor})
        with self.sentinel.client() as client:
            client.execute_command("SENTINEL", "SET", "jobs", "down-after-milliseconds", DOWN_AFTER)
            client.execute_command("SENTINEL", "SET", "jobs", "failover-timeout", "3000")
            until(lambda: client.execute_command("SENTINEL", "REPLICAS", "jobs"))
        self.url = f"redis+sentinel://127.0.0.1:{self.sentinel.port}/jobs"

    @property
    def _monitor(self) -> str:
        return f"jobs 127.0.0.1 {self.master.port} 1"

    def in_step(self) -> bool:
        with self.replica.client() as client:
            return client.info("replication")["master_link_status"] == "up"

    def lag(self) -> None:
        """From now on the replica gets nothing."""
        self.link.silence(*BOTH)

    def lose_master(self) -> None:
        """It dies, and what the replica has not got it never gets."""
        self.master.kill()
        self.link.cut()

    def until_promoted(self) -> None:
        until(lambda: self._role() == "master")

    def _role(self) -> str:
        try:
            with self.replica.client() as client:
                return client.info("replication")["role"]
        except redis.ConnectionError:  # a server whose role changes cuts its clients off
            return ""

    def follow(self) -> None:
        """Start the dead master anew, as the replica of the new one."""
        self.master._options["replicaof"] = f"127.0.0.1 {self.replica.port}"
        self.master.start()


@pytest.fixture
def pair(place: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, place)


@pytest.mark.parametrize(
    "least",
    [
        pytest.param(1, id="min_replicas=1", marks=pytest.mark.row("F19", "promotion")),
        # What is lost without it is a measurement, for the full counts.
        pytest.param(0, id="without", marks=pytest.mark.row("F19", "promotion")),
    ][: scaled(1, 2)],
)
def test_promotion(pair: Pair, place: Path, least: int, figure):
    """The replica lags; then the master dies.

    What was accepted meanwhile is lost for ever unless the producer waits for replicas.
    """
    scene = Scene(place, pair.url)
    try:
        daemon = scene.daemon(queue="concurrency = 2\n", top="lease = 1").start()  # most jobs wait
        url = f"{pair.url}?min_replicas={least}"
        order = {"task": "nap", "args": [0.02], "batch": 5, "pause": 0.01}
        scene.enqueue(scaled(100, 1_000), url=url, **order)
        scene.until_ran(5)
        pair.lag()
        so_far = len(read(scene.notes, "accepted"))
        until(lambda: read(scene.notes, "refused") or accepted(scene) > so_far + 20)
        pair.lose_master()
        pair.until_promoted()
        began, so_far = time.monotonic(), scene.ran()
        until(lambda: scene.ran() > so_far)
        took = time.monotonic() - began
        pair.follow()
        scene.enqueued()
        scene.until_quiet()
        assert daemon.stop() == 0
        ran = daemon.tally()
        lost = read(scene.notes, "accepted") - ran.keys()
        doubled = ran.total() - len(ran)
        assert bool(lost) == (least == 0), "without waiting, a lag is a loss"
        assert took < BACK_AT_WORK
        figure(
            f"accepted {accepted(scene)}, lost {len(lost)}{'' if least else ' (no limit)'}, doubled"
            f" {doubled}; back at work in {took:.2f} s (at most {BACK_AT_WORK:g})"
        )
    finally:
        scene.close()


def accepted(scene: Scene) -> int:
    return len(read(scene.notes, "accepted"))


@pytest.fixture
async def careful(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BaseBackend]:
    """A store that wants one replica to have each job."""
    monkeypatch.setattr(redis_store, "REPLICAS_TIMEOUT", scaled(0.2, 2.0))
    store = open_backend(f"{pair.master.tcp_url}?min_replicas=1")
    yield store
    await store.close()


@pytest.mark.row("F19", "a replica that lags: an enqueue with min_replicas")
async def test_too_few_replicas_are_an_error(pair: Pair, careful: BaseBackend, figure):
    job = [NewJob(id="a", payload=b"{}")]
    assert await careful.add(QUEUE, [NewJob(id="first", payload=b"{}")]) == [True]
    pair.lag()
    for _ in range(2):  # also when it is not new any more
        with pytest.raises(StoreError, match="expected 1 replicas to have the jobs, got 0 within"):
            await careful.add(QUEUE, job)
    pair.link.mend()

    async def taken() -> bool:
        try:
            return await careful.add(QUEUE, job) == [False]
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
