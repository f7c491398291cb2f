"""A blocking `extend` with a connection of its own, for the lease thread."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

from asyncmqd.backends.after_fork import keep_for_ever
from asyncmqd.backends.base import Held
from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.encoding import held_args, micros, pages
from asyncmqd.backends.redis.errors import faults, to_store_error
from asyncmqd.backends.redis.replies import is_unknown_script
from asyncmqd.backends.redis.scripts import IN_FULL, Command, call
from asyncmqd.domain.states import State

TIMEOUT = 2.0  # seconds; the thread that waits here has other claims to renew


class Renewal:
    """The calls of extend.lua for claims of any queues, and the answers in the claims' order."""

    def __init__(self, prefix: str, held: Sequence[Held], lease: float) -> None:
        self._size = len(held)
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, each in enumerate(held):
            places[each.queue].append(place)
        self._calls = [
            (queue, page)
            for queue, all_places in places.items()
            for page in pages([held[place].id for place in all_places], all_places)
        ]
        self.commands: list[Command] = [
            call(
                "extend",
                [f"{prefix}:{{{queue}}}:"],
                [State.ACTIVE, micros(lease), *held_args([held[place] for place in page])],
            )
            for queue, page in self._calls
        ]

    def answers(self, replies: Sequence[Sequence[int]]) -> list[bool]:
        """For each claim whether it is still held."""
        answers = [False] * self._size
        for (_, page), reply in zip(self._calls, replies, strict=True):
            for place, held in zip(page, reply, strict=True):
                answers[place] = held == 1
        return answers


class LeaseClient:
    """Extends claims from a thread that has no event loop."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client: Any = None  # redis-py types its clients for both worlds at once
        self._distrusted = False  # by the event loop, while this thread may be using the client

    def prepare(self) -> None:
        """Import redis-py, which only those who hold claims need. Later no descriptor may be left
        for it; and a forked child only has what is there.
        """
        from asyncmqd.backends.redis import blocking_clients, redis_py  # noqa: F401

        self._make = blocking_clients.client_of
        self._connections_of = blocking_clients.connections_of
        _all.add(self)

    def distrust(self) -> None:
        """From any thread: look for the master again before the next call."""
        self._distrusted = True

    def __call__(self, held: Sequence[Held], lease: float) -> list[bool]:
        """See `BaseBackend.extend`."""
        if not held:
            return []
        if self._distrusted:
            self.close()
        renewal = Renewal(self._address.prefix, held, lease)
        try:
            return renewal.answers(self._run(renewal.commands))
        except faults() as error:
            self.close()  # a new client looks for the master again
            told = to_store_error(self._address, error)
            raise told from told.__cause__

    def close(self) -> None:
        """Close the connections; the client may be used again."""
        client, self._client, self._distrusted = self._client, None, False
        if client is not None:
            client.close()

    def abandon(self) -> None:
        """In a forked child: the connections are the parent's, which goes on using them."""
        client, self._client = self._client, None
        if client is None:
            return
        keep_for_ever(client)  # its `__del__` waits for locks, which its thread may have held
        for connection in self._connections_of(client):
            line = connection._sock  # noqa: SLF001 - `disconnect` may wait for locks
            if line is not None:
                line.close()  # says nothing to the server

    def _run(self, commands: Sequence[Command]) -> list[Any]:
        replies = self._send(commands)
        for texts in IN_FULL:
            unknown = [at for at, reply in enumerate(replies) if is_unknown_script(reply)]
            if not unknown:
                break
            again = self._send(texts([commands[at] for at in unknown]))
            for at, reply in zip(unknown, again, strict=True):
                replies[at] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        if self._client is None:
            self._client = self._make(self._address, TIMEOUT)
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
        return replies


_all: WeakSet[LeaseClient] = WeakSet()


def _abandon_all() -> None:
    for each in list(_all):
        each.abandon()


os.register_at_fork(after_in_child=_abandon_all)
