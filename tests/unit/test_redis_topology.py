"""The same store behind Sentinel, and in a cluster of three masters."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from asyncmqd.backends.base import Held, StoreError
from asyncmqd.backends.redis import RedisBackend
from asyncmqd.backends.redis.cluster import Clustered
from asyncmqd.backends.redis.large_payloads import PIECE
from asyncmqd.client.events import watch
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.events import Event, Position
from asyncmqd.domain.job import JobSpec, NewJob
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.settle import Policy, Succeeded, settle
from asyncmqd.domain.tasks import Registry, TaskDef, TaskOptions
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.worker import Worker
from tests.added import are_new
from tests.cluster import Cluster
from tests.eventually import eventually
from tests.servers import PASSWORD, USER, USUAL, RedisServer, documented_user, free_port

EVENTS = "!events"  # where a queue's name stands, in the keys of events
QUEUES = [f"q{number}" for number in range(12)]  # enough to land on all masters of a cluster
LEASE = 60.0
LARGE = b"x" * 2 * PIECE


def start(stack: ExitStack, directory: Path, **kwargs) -> RedisServer:
    directory.mkdir()
    return stack.enter_context(RedisServer(USUAL, directory, tcp=True, **kwargs))


@pytest.fixture
def sentinel_url(tmp_path: Path) -> Iterator[str]:
    with ExitStack() as stack:
        master = start(stack, tmp_path / "m")
        documented_user(master)
        options = {"sentinel monitor": f"jobs 127.0.0.1 {master.port} 1"}
        watch = start(stack, tmp_path / "s", options=options, arguments=["--sentinel"])
        documented_user(watch, sentinel=True)
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{watch.port}"
        to_sentinel = f"sentinel_username={USER}&sentinel_password={PASSWORD}"
        yield f"redis+sentinel://{USER}:{PASSWORD}@{hosts}/jobs/1?{to_sentinel}"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(USUAL, tmp_path) as running:
        for node in running.nodes:
            documented_user(node)
        yield running


async def whole_way(store: RedisBackend, other: RedisBackend) -> None:
    """Every kind of call, over all queues."""
    assert await store.wait(QUEUES, 10) == set(QUEUES)
    for queue in QUEUES:
        assert await store.claim(queue, 1, LEASE, "w") == []
        jobs = [NewJob(id=id, payload=LARGE) for id in "ab"]
        assert are_new(await other.add(queue, jobs)) == [True, True]
    woken: set[str] = set()
    while woken != set(QUEUES):
        woken |= await store.wait(QUEUES, 10)
    claims = [(await store.claim(queue, 1, LEASE, "w"))[0] for queue in QUEUES]
    seconds = [(await store.claim(queue, 1, LEASE, "w"))[0] for queue in QUEUES]
    assert {claim.payload for claim in (*claims, *seconds)} == {LARGE}
    held = [Held(each.queue, each.id, each.token) for each in claims]
    assert await store.extend(held, LEASE) == [True] * len(held)
    assert await asyncio.to_thread(store.extender(), held, LEASE) == [True] * len(held)
    assert {each.waiting for each in (await store.outlook(QUEUES)).values()} == {0}
    for claim in claims:
        done = settle(claim, Succeeded(b"1"), Policy(), 0)
        assert await store.apply(claim.queue, [done]) == ["applied"]
    assert {each.completed for each in (await store.counts(QUEUES)).values()} == {1}
    assert await store.queues() == sorted(QUEUES)
    await store.beat("w", b"{}", 10)
    assert [each.id for each in await other.workers()] == ["w"]
    assert any("appendonly" in each for each in await store.warnings())


async def events_of_all_queues(cluster: Cluster, store: RedisBackend, other: RedisBackend) -> None:
    """What happens on all masters is told in one slot, and read on when that slot has moved."""
    told: list[Event] = []

    async def read() -> None:
        tell = told.append
        async for event in watch(other):
            tell(event)

    async def are_told(ids: str) -> None:
        wanted = sorted((queue, id) for queue in QUEUES for id in ids)

        async def are() -> bool:
            return len([each for each in told if each.event == "job.completed"]) >= len(wanted)

        await eventually(are)
        for name in ("job.started", "job.completed"):
            found = [(each.queue, each.job_id) for each in told if each.event == name]
            assert sorted(found) == wanted, name

    async def add(id: str) -> None:
        payload = encode_spec(JobSpec(id=id, task="nothing"))
        for queue in QUEUES:
            await other.add(queue, [NewJob(id=id, payload=payload)])

    registry = Registry()
    registry.add(TaskDef(asyncio.Event().set, "nothing", TaskOptions()))
    reading = asyncio.create_task(read())
    async with ProcessContext(store, registry=registry, observer=Observer([])) as context:
        workers = [asyncio.create_task(Worker(q, context, QueueOptions()).run()) for q in QUEUES]
        await add("x")
        await are_told("x")
        source = cluster.owner(EVENTS)
        migration = cluster.migrate(EVENTS, next(n for n in cluster.masters if n is not source))
        for _ in migration:
            pass
        await add("y")
        await are_told("xy")
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
    reading.cancel()
    numbers = [Position.of(each.position).number for each in told]
    assert numbers == [*range(numbers[0], numbers[0] + len(numbers))], "each once, in order"


async def test_sentinel_with_its_first_watcher_dead(sentinel_url: str):
    store, other = RedisBackend(sentinel_url), RedisBackend(sentinel_url)
    await whole_way(store, other)
    watch = int(sentinel_url.partition(",")[2].partition("/")[0].rpartition(":")[2])
    async with Redis(port=watch) as client:
        assert len(await client.client_list(_type="pubsub")) == 2, "they hear announcements"
    await store.close()
    await other.close()


async def whole(store: RedisBackend) -> bool:
    """Whether it answers; on a busy machine the first calls may take too long."""
    with suppress(StoreError):
        return await store.queues() == []
    return False


async def go_on_with_a_client_that_was_given_up(store: RedisBackend) -> None:
    """As a call does that waited for a dead node, and tries again by itself once it knows."""
    link = store._link
    assert isinstance(link, Clustered)
    pipeline = (await link._cluster()).pipeline()
    pipeline.execute_command("TYPE", "asyncmq:{a}:waiting")
    link.distrust()
    await asyncio.gather(*link._closing)
    with pytest.raises(RedisConnectionError, match="given up"):
        await pipeline.execute()


async def test_an_outage_of_a_cluster_leaves_no_client_unclosed(cluster: Cluster):
    complaints: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)
    store = RedisBackend(f"redis+cluster://{USER}:{PASSWORD}@{hosts}?timeout=1")
    await eventually(partial(whole, store))
    await go_on_with_a_client_that_was_given_up(store)
    cluster.nodes[0].kill()
    cluster.nodes[1].freeze()
    failed = 0
    for _ in range(3):
        counts = (store.counts([queue]) for queue in QUEUES)
        answers = await asyncio.gather(*counts, return_exceptions=True)
        failed += sum(isinstance(each, StoreError) for each in answers)
    assert failed
    await store.close()
    del store
    gc.collect()
    assert complaints == []


async def test_cluster(cluster: Cluster):
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes[:2])
    store, other = (
        RedisBackend(f"redis+cluster://{USER}:{PASSWORD}@{hosts}"),
        RedisBackend(f"redis+cluster://{USER}:{PASSWORD}@{hosts}"),
    )
    await whole_way(store, other)
    for node in cluster.nodes:
        with node.client() as client:
            client.script_flush()
            assert len(client.client_list(_type="pubsub")) == 1
    assert await store.claim(QUEUES[0], 1, LEASE, "w") == []
    await events_of_all_queues(cluster, store, other)
    await store.close()
    await other.close()
