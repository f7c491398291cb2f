"""A real cluster for tests: three masters on loopback, with a replica for each if asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import redis
from redis.crc import key_slot

from tests.daemon.harness import until
from tests.servers import RedisServer, free_port

SLOTS = (0, 5_461, 10_922, 16_384)
MASTERS = 3
NODE_TIMEOUT = 2_000  # milliseconds after which the others take a silent node for dead


class Cluster:
    """The nodes, masters first. `appendonly` is off: what a node has dies with it."""

    def __init__(self, kind: str, place: Path, *, replicas: bool = False) -> None:
        self._ports: dict[RedisServer, int] = {}  # of the bus
        self._stack = ExitStack()
        for number in range(MASTERS * (2 if replicas else 1)):
            (place / f"n{number}").mkdir()
            bus = free_port()
            options = {
                "cluster-enabled": "yes",
                "cluster-port": str(bus),
                "cluster-node-timeout": str(NODE_TIMEOUT),
                "repl-diskless-sync-delay": "0",
            }
            self._ports[RedisServer(kind, place / f"n{number}", tcp=True, options=options)] = bus

    @property
    def nodes(self) -> list[RedisServer]:
        return list(self._ports)

    @property
    def masters(self) -> list[RedisServer]:
        """Those that are so from the start."""
        return self.nodes[:MASTERS]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"redis+cluster://{hosts}"

    def __enter__(self) -> Self:
        with ExitStack() as started:  # ended again if one of them does not start
            for node in self.nodes:
                started.enter_context(node)
            self._join()
            self._stack = started.pop_all()
        return self

    def _join(self) -> None:
        for number, node in enumerate(self.masters):
            ask(node, "CLUSTER", "ADDSLOTSRANGE", SLOTS[number], SLOTS[number + 1] - 1)
        for other, port in self._ports.items():
            ask(self.nodes[0], "CLUSTER", "MEET", "127.0.0.1", other.port, port)
        until(lambda: all(map(self._knows_all, self.nodes)))
        for node, master in zip(self.nodes[MASTERS:], self.masters, strict=False):
            ask(node, "CLUSTER", "REPLICATE", identity(master))
        until(lambda: all(map(self._is_complete, self.nodes)))

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _knows_all(self, node: RedisServer) -> bool:
        info = ask(node, "CLUSTER", "INFO")
        return f"cluster_known_nodes:{len(self.nodes)}\r" in info and "cluster_state:ok" in info

    def _is_complete(self, node: RedisServer) -> bool:
        """Whether each replica has what its master has, as far as this node knows."""
        with node.client() as client:
            replication = client.info("replication")
        links = len(self.nodes) - MASTERS
        lines = str(ask(node, "CLUSTER", "NODES")).splitlines()
        up = replication["role"] == "master" or replication["master_link_status"] == "up"
        return up and sum("slave" in line for line in lines) == links

    def owner(self, queue: str) -> RedisServer:
        """The master that has the queue now, by its own account."""
        slot = slot_of(queue)
        return next(node for node in self.nodes if slot in slots(node))

    def replica_of(self, master: RedisServer) -> RedisServer:
        """The replica that a master was given at the start."""
        return self.nodes[MASTERS + self.masters.index(master)]

    def migrate(self, queue: str, to: RedisServer) -> Iterator[None]:
        """Move the queue's slot, key by key, as `redis-cli --cluster reshard` does.

        Stops in the middle, when only some of the keys have been moved, until asked to go on.
        """
        slot, source = slot_of(queue), self.owner(queue)
        ask(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", identity(source))
        ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", identity(to))
        size = ask(source, "CLUSTER", "COUNTKEYSINSLOT", slot)
        moved, paused = 0, False
        while keys := ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 10):
            ask(source, "MIGRATE", "127.0.0.1", to.port, "", 0, 5_000, "REPLACE", "KEYS", *keys)
            moved += len(keys)
            if moved * 2 >= size and not paused:
                paused = True
                yield
        for node in (to, source, *self.masters):
            ask(node, "CLUSTER", "SETSLOT", slot, "NODE", identity(to))
        yield


def ask(node: RedisServer, *command: Any) -> Any:
    """The answer of a node."""
    with node.client() as client:
        answer = client.execute_command(*command)
    return answer.decode() if isinstance(answer, bytes) else answer


def identity(node: RedisServer) -> str:
    return str(ask(node, "CLUSTER", "MYID"))


def slot_of(queue: str) -> int:
    return int(key_slot(queue.encode()))


def slots(node: RedisServer) -> set[int]:
    """The slots that a node has, by its own account; none if it is dead or a replica."""
    with contextlib.suppress(redis.ConnectionError):
        for line in str(ask(node, "CLUSTER", "NODES")).splitlines():
            fields = line.split()
            if "myself" in fields[2] and "master" in fields[2]:
                spans = (each.partition("-") for each in fields[8:] if each[0] != "[")
                return {n for a, _, b in spans for n in range(int(a), int(b or a) + 1)}
    return set()
