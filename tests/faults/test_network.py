"""A network between daemons and Redis that cuts, goes silent, delays and splits."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.redis import RedisBackend
from asyncmqd.domain.job import NewJob
from tests.daemon.harness import until
from tests.eventually import answered
from tests.faults.conftest import Scene
from tests.faults.ledger import QUEUE
from tests.faults.proxy import BOTH, Proxy
from tests.scale import scaled
from tests.servers import USUAL, RedisServer

SLOTS = 10
TOP = "lease = 1"
ROUNDS = scaled(1, 10)
# Seconds until a connection that leads nowhere is replaced, and work goes on.
DETECTION = scaled(15.0, 10.0)
LATENCY = scaled(0.1, 0.8)  # seconds at most
LATE = f"network: 0 to {LATENCY:g} s"
PATIENCE = scaled(["tests.faults.impatient", "ledger"], ["ledger"])
IMPATIENT = scaled("{}?timeout=1", "{}")  # the URL to it


@pytest.fixture
def server(place: Path) -> Iterator[RedisServer]:
    directory = place / "redis"
    directory.mkdir()
    with RedisServer(USUAL, directory, tcp=True) as running:
        yield running


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.port) as between:
        yield between


def cut(proxy: Proxy) -> None:
    proxy.cut()
    time.sleep(0.5)  # the time is what is tested
    proxy.mend()


def silent_for_a_while(*ways) -> Callable[[Proxy], None]:
    def silence(proxy: Proxy) -> None:
        proxy.silence(*ways)
        time.sleep(scaled(0.7, 8.0))  # the time is what is tested
        proxy.mend()

    return silence


FAULTS: list[tuple[str, Callable[[Proxy], None], float]] = [
    ("cut", cut, 3.0),
    ("reset", Proxy.reset, 3.0),
    ("requests held", silent_for_a_while("up"), 3.0),
    ("replies held", silent_for_a_while("down"), 3.0),
    ("open and dead", lambda proxy: proxy.silence(*BOTH), DETECTION),
]


@pytest.mark.parametrize(
    ("fault", "limit"),
    [
        pytest.param(fault, limit, id=name, marks=pytest.mark.row("F21", "network"))
        for name, fault, limit in FAULTS
    ],
)
def test_connections(redis_scene: Scene, proxy: Proxy, fault, limit, figure):
    """The daemon's way to the store is hurt, that of the producer is not."""
    scene = redis_scene
    queue = f"concurrency = {SLOTS}\n"
    daemon = scene.daemon(
        url=IMPATIENT.format(proxy.url), queue=queue, top=TOP, tasks=PATIENCE
    ).start()
    scene.enqueue(scaled(150, 3_000), task="nap", args=[0.02], batch=5, pause=scaled(0.02, 0.2))
    slowest = 0.0
    for number in range(1, ROUNDS + 1):
        scene.until_ran(number * 20)
        fault(proxy)
        began, so_far = time.monotonic(), daemon.tally("ran").total()
        until(lambda: daemon.tally("ran").total() > so_far + SLOTS)  # noqa: B023
        slowest = max(slowest, time.monotonic() - began)
    scene.enqueued()
    scene.until_quiet()
    verdict = scene.verdict()
    verdict.check(doubled=ROUNDS * SLOTS)
    assert slowest < limit
    figure(f"{ROUNDS} times; {verdict}; back at work in {slowest:.2f} s (at most {limit:g})")


@pytest.mark.row("F21", "network open and dead under a daemon that has nothing to do")
def test_deaf(redis_scene: Scene, proxy: Proxy, figure):
    """The connection that waits for wake-ups is dead too, and nobody is told of a new job."""
    scene = redis_scene
    daemon = scene.daemon(url=IMPATIENT.format(proxy.url), tasks=PATIENCE).start()
    until(lambda: scene.store.do(lambda backend: backend.workers()))
    proxy.silence(*BOTH)
    began = time.monotonic()
    scene.store.add(QUEUE, "mark", ["a"])
    daemon.wait_for("job.completed")
    took = time.monotonic() - began
    assert took < DETECTION
    figure(f"a new job was found after {took:.2f} s (at most {DETECTION:g})")


@pytest.mark.parametrize(
    ("longest", "piece"),
    [
        pytest.param(LATENCY, 65_536, id="late", marks=pytest.mark.row("F22", LATE)),
        pytest.param(0.0, 1, id="split", marks=pytest.mark.row("F22", "network: single bytes")),
    ],
)
def test_slow(redis_scene: Scene, proxy: Proxy, longest: float, piece: int, figure):
    scene = redis_scene
    draw = random.Random(2)
    proxy.piece = piece
    proxy.delay = (lambda: draw.uniform(0, longest)) if longest else None
    daemon = scene.daemon(url=proxy.url, top="lease = 5").start()
    scene.enqueue(scaled(60, 2_000), url=proxy.url, batch=20)
    scene.enqueued()
    scene.until_quiet()
    verdict = scene.verdict()
    verdict.check(doubled=0)
    assert not daemon.all("job.lease_lost")
    figure(f"{verdict} (at most 0 doubled)")


@pytest.mark.row("F21", "network open and dead under several calls")
async def test_dead_connections_fail_together(proxy: Proxy):
    """Not one after the other, each told as an outage of its own with a recovery behind it."""
    store = RedisBackend(f"{proxy.url}?timeout=1.5")
    await answered(lambda: asyncio.gather(*(store.now() for _ in range(8))))  # as many connections
    proxy.silence(*BOTH)
    calls = []
    for _ in range(4):
        calls.append(asyncio.create_task(store.now()))
        await asyncio.sleep(0.1)  # they would time out one after the other
    first, *others = calls
    with pytest.raises(StoreError):
        await first
    assert await answered(store.now) > 0
    assert all(each.done() for each in others)
    failures = await asyncio.gather(*others, return_exceptions=True)
    assert all(isinstance(each, StoreError) for each in failures)
    await store.close()


@pytest.mark.row("F23", "calls cancelled at random moments")
async def test_no_reply_goes_to_another(server: RedisServer, proxy: Proxy, figure):
    calls, draw = scaled(400, 10_000), random.Random(3)
    proxy.delay = lambda: 0.005
    store = RedisBackend(proxy.url)
    await store.add(QUEUE, [NewJob(id=f"j{n}", payload=b"%d" % n) for n in range(50)])

    async def ask(number: int, longest: float | None = None) -> bool:
        id = f"j{number % 50}"
        limit = None if longest is None else draw.uniform(0.001, longest)
        try:
            async with asyncio.timeout(limit):
                (record,) = await store.get(QUEUE, [id])
        except TimeoutError:
            return False
        assert record is not None
        assert (record.id, record.payload) == (id, b"%d" % (number % 50))
        return True

    began = time.monotonic()
    await asyncio.gather(*map(ask, range(50)))
    longest = time.monotonic() - began  # so that some are answered, on any machine
    answered = 0
    for at in range(0, calls, 50):
        answered += sum(await asyncio.gather(*(ask(at + n, longest) for n in range(50))))
    await store.close()
    assert 0 < answered < calls
    figure(f"{calls - answered} of {calls} cancelled, 0 replies to the wrong call")
