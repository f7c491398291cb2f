"""What a Redis user must be allowed, and what is said of one who is not, or of another service."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from asyncmqd.backends.base import StoreRefused
from asyncmqd.backends.redis import subscribers
from asyncmqd.backends.redis.acl import acl_line
from asyncmqd.backends.redis.address import parse
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.states import State
from tests.added import are_new
from tests.contract.jobs import ids
from tests.servers import (
    KINDS,
    PASSWORD,
    USER,
    USUAL,
    RedisServer,
    documented_acl,
    documented_user,
    free_port,
)

QUEUE = "mail"
JOB = [NewJob(id="a", payload=b"{}")]


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(request.param, tmp_path) as running:
        documented_user(running)
        yield running


def as_user(url: str) -> str:
    return url.replace("://", f"://{USER}:{PASSWORD}@")


def without_channels(client: redis.Redis) -> None:
    client.execute_command("ACL", "SETUSER", USER, "resetchannels")


def test_errors_name_the_line_of_the_documentation():
    line = acl_line(parse(f"redis://{USER}@localhost"))
    assert documented_acl().replace(f" on >{PASSWORD}", "") == line


async def test_who_may_not_publish_adds_nothing(server, opened):
    """It is told before the first job is stored, and with the line that mends it."""
    store = opened(as_user(server.url))
    with server.client() as client:
        without_channels(client)
        with pytest.raises(StoreRefused, match=r"ACL SETUSER asyncmqd .* &asyncmq:\*"):
            await store.add(QUEUE, JOB)
        assert client.keys("*job*") == []
        documented_user(server)
    assert are_new(await store.add(QUEUE, JOB)) == [True]


@pytest.mark.parametrize("sign_up", [0, 7])
async def test_a_permission_that_is_lost_loses_no_job(server, opened, monkeypatch, sign_up):
    """What is stored is told as stored; the producer is warned, and the daemon once."""
    monkeypatch.setattr(subscribers.Ears, "look_every", 0.01)
    store, idle = opened(as_user(server.url)), opened(as_user(server.url))
    await store.add(QUEUE, JOB)
    idle.take_assigned(lambda _: None)
    await idle.wait([QUEUE], 1.0)
    await idle.turn(QUEUE, (), 5, 60.0, "w", None, sign_up)
    with server.client() as client:
        without_channels(client)
        with pytest.warns(RuntimeWarning, match="start late: .*ACL SETUSER asyncmqd"):
            assert are_new(await store.add(QUEUE, [NewJob(id="b", payload=b"{}")])) == [True]
        assert [claim.id for claim in await store.held(QUEUE, "w")] == ["a"]
        while not await idle.durability_warning():
            assert await idle.wait([QUEUE], 1.0) in ({QUEUE}, set())
        assert "ACL SETUSER asyncmqd" in await idle.durability_warning()
        documented_user(server)
    while await idle.durability_warning():
        await idle.wait([QUEUE], 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await store.add(QUEUE, [NewJob(id="c", payload=b"{}")])


async def test_what_a_producer_may_not_publish_is_not_claimed(server, opened):
    """The daemon is another user, and listens."""
    store, idle = opened(as_user(server.url)), opened(server.url)
    await store.add(QUEUE, JOB)
    idle.take_assigned(lambda _: None)
    await idle.wait([QUEUE], 1.0)
    await idle.turn(QUEUE, (), 5, 60.0, "w", None, 7)
    with server.client() as client:
        without_channels(client)
    with pytest.warns(RuntimeWarning, match="start late: .*ACL SETUSER asyncmqd"):
        await store.add(QUEUE, [NewJob(id="b", payload=b"{}")])
    assert ids(await idle.list(QUEUE, State.ACTIVE, 0, 10)) == ["a"]
    assert [(each.id, each.token) for each in await idle.claim(QUEUE, 5, 60.0, "w")] == [("b", 1)]


async def test_who_may_not_ask_who_listens_wakes_one_of_two(server, opened):
    store, *idle = (opened(url) for url in (as_user(server.url), server.url, server.url))
    for each in idle:
        await each.wait([QUEUE], 1.0)
        assert await each.claim(QUEUE, 1, 60.0, "w") == []
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", USER, "-pubsub")
        await store.add(QUEUE, JOB)
        assert client.scard(f"asyncmq:{{{QUEUE}}}:waiters") == 1


async def test_a_lost_command_is_named_with_the_line_that_gives_it(server, opened):
    store = opened(as_user(server.url))
    await store.add(QUEUE, JOB)
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", USER, "-zpopmin")
    with pytest.raises(StoreRefused, match="ACL SETUSER asyncmqd"):
        await store.claim(QUEUE, 1, 60.0, "w")


async def test_a_server_without_info_is_used(tmp_path, opened):
    with RedisServer(USUAL, tmp_path, options={"rename-command INFO": '""'}) as server:
        store = opened(server.url)
        assert are_new(await store.add(QUEUE, JOB)) == [True]
        assert await store.durability_warning() == ""
        assert ["INFO" in each for each in await store.warnings()] == [True]


async def test_a_node_of_a_cluster_names_the_scheme(tmp_path, opened):
    options = {"cluster-enabled": "yes", "cluster-port": str(free_port())}
    with RedisServer(USUAL, tmp_path, tcp=True, options=options) as server:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        with pytest.raises(StoreRefused, match=re.escape("redis+cluster://")):
            await opened(server.tcp_url).add(QUEUE, JOB)


async def test_a_server_that_is_no_cluster_names_the_scheme(tmp_path, opened):
    with RedisServer(USUAL, tmp_path, tcp=True) as server:
        store = opened(server.tcp_url.replace("redis", "redis+cluster"))
        with pytest.raises(StoreRefused, match=re.escape("named redis://")):
            await store.add(QUEUE, JOB)


async def test_a_sentinel_that_refuses_the_login_is_named(tmp_path, opened):
    (tmp_path / "m").mkdir()
    (tmp_path / "s").mkdir()
    with RedisServer(USUAL, tmp_path / "m", tcp=True) as master:
        options = {"sentinel monitor": f"jobs 127.0.0.1 {master.port} 1", "requirepass": "a+b"}
        watch = RedisServer(
            USUAL, tmp_path / "s", tcp=True, options=options, arguments=["--sentinel"]
        )
        with watch:
            url = f"redis+sentinel://127.0.0.1:{watch.port}/jobs?timeout=2&sentinel_password="
            with pytest.raises(StoreRefused) as caught:
                await opened(url + "wrong").add(QUEUE, JOB)
            reason = str(caught.value).partition("=***: ")[2]
            assert reason.startswith(f"no master found: sentinel 127.0.0.1:{watch.port}: ")
            assert "<redis." not in reason
            assert are_new(await opened(url + "a+b").add(QUEUE, JOB)) == [True]
