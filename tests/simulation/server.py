"""The store of the simulation: the real one in memory, on a server that is reached over a network.

A request travels, is applied at one moment, and its reply travels back. Each may be late or lost,
the server may stall, go down, and come back without its newest writes. A request that is under way
when its sender dies, or when its sender has given it up, is applied all the same.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import Assigned, BaseBackend, StoreError, Take
from asyncmqd.backends.memory.instances import Receiver
from asyncmqd.domain.job import Claim
from asyncmqd.domain.marks import Marked
from tests.simulation.judge import Judge
from tests.simulation.loop import SimLoop
from tests.simulation.world import World

CALL_TIMEOUT = 2.0  # seconds after which a client gives a request up
NEAR = (0.0002, 0.002)  # seconds that a message takes
FAR = (0.001, 0.8)
MOST_KEYS = 50  # more than a world has
# What processes tell in these has the number of the process that plays, and the time on its clock.
OF_THE_HOST = frozenset({"beat", "publish", "events"})


class _Store(InMemoryBackend):
    """What calls it is in no event loop: whoever sent the request signs up."""

    caller: RemoteStore

    @property
    def _receiver(self) -> Receiver:
        return self.caller


class Server:
    """One store for all processes; the fields are what the plan of faults changes."""

    def __init__(self, world: World, judge: Judge) -> None:
        self.world = world
        self.judge = judge
        self.latency = NEAR
        self.loss = 0.0  # odds that a request is lost, and that a reply is
        self.deafness = 0.0  # odds that a wake-up is lost
        self.down = False
        self.backend = _Store(now=lambda: world.true_time)
        self.assigned: list[Claim] = []  # by the request that is applied now
        self.clients: list[RemoteStore] = []
        self._stalled_until = 0.0
        self._life = 0  # connections of a former one are cut
        self._snapshot: tuple[Any, ...] | None = None
        judge.stored = lambda queue: self.backend._store.queues[queue].rows
        judge.levels = lambda queue: self.backend._store.queues[queue].lanes._levels
        judge.backlog = lambda queue: _at_once(self.backend.key_backlog(queue, MOST_KEYS))
        self.backend._store.listeners.append(self._on_wake)

    @property
    def marks(self) -> list[Marked]:
        """What it tells of processes."""
        return _at_once(self.backend.marks())

    # ------------------------------------------------------------------ faults

    def stall(self, seconds: float) -> None:
        """Answer nothing for so long."""
        self._stalled_until = max(self._stalled_until, self.world.now + seconds)

    def cut(self) -> None:
        """Break all connections: of what is under way, only the sending is certain."""
        self._life += 1
        for client in self.clients:
            client.disconnect()

    def go_down(self, seconds: float, *, forget: bool) -> None:
        """Be away; with `forget`, come back as it was at the snapshot."""
        self.down = True
        self.cut()
        self.world.after(seconds, self._come_back, forget)

    def take_snapshot(self) -> None:
        """What it will have after the next loss of its newest writes."""
        store = self.backend._store
        kept = store.queues, store.workers, store.marks, self.judge.history
        self._snapshot = copy.deepcopy(kept)

    def _come_back(self, forget: bool) -> None:
        self.down = False
        if forget and self._snapshot is not None:
            store = self.backend._store
            store.queues, store.workers, store.marks, history = self._snapshot
            self._snapshot = None
            self.judge.roll_back(history)

    # ------------------------------------------------------------------ messages

    def receive(self, call: Call) -> None:
        """A client sends a request."""
        if self.down:
            self.world.after(self._travel(), call.fail, "connection refused")
        elif self.world.chance(self.loss):
            call.lose(self._patience(), "request lost")
        else:
            self.world.after(self._travel(), self._deliver, call, self._life)

    def _deliver(self, call: Call, life: int) -> None:
        if self.down or (life != self._life and self.world.chance(0.5)):
            call.fail("connection reset")
            return
        if (wait := self._stalled_until - self.world.now) > 0:
            self.world.after(wait, self._deliver, call, life)
            if wait > CALL_TIMEOUT:
                self.world.after(CALL_TIMEOUT, call.fail, "timed out")
            return
        result = self._apply(call)
        if life != self._life or self.world.chance(self.loss):
            call.lose(self._patience(), "reply lost")
        else:
            self.world.after(self._travel(), self._answer, call, result, life)

    def _answer(self, call: Call, result: Any, life: int) -> None:
        if life == self._life:
            call.answer(result)
        else:
            call.fail("connection reset")

    def _apply(self, call: Call) -> Any:
        self.backend.caller = call.client
        result = _at_once(getattr(self.backend, call.verb)(*call.args, **call.kwargs))
        owner = call.client.loop.owner
        if call.verb not in OF_THE_HOST:
            self.world.note(owner.name, call.verb, call.args, result)
        self.judge.is_late = call.future.done()
        self.judge.saw(owner, call.verb, call.args, result, **call.kwargs)
        while self.assigned:
            self.judge.assigned(self.assigned.pop())
        return result

    def post(self, client: RemoteStore, assigned: Assigned) -> None:
        """Tell a client of a job; if that is lost, its connection is."""
        self.assigned.append(assigned.claim)
        if self.world.chance(self.deafness):
            self.world.after(self._travel(), client.disconnect)
        else:
            self.world.after(self._travel(), client.hear, assigned)

    def _travel(self) -> float:
        return self.world.rng.uniform(*self.latency)

    def _patience(self) -> float:
        """When a client learns that nothing comes: a reset at once, or only its own time limit."""
        return CALL_TIMEOUT if self.world.chance(0.3) else self._travel()

    def _on_wake(self, queue: str) -> None:
        for client in self.clients:
            if client.connected and not self.world.chance(self.deafness):
                self.world.after(self._travel(), client.wake, queue)


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a verb of the store in memory answers: none of them waits for anything."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a verb of the store in memory has suspended its caller")


class Call:
    """A request, and the future that its sender waits for."""

    def __init__(
        self, client: _Connection, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.client, self.verb, self.args, self.kwargs = client, verb, args, kwargs
        self.future: asyncio.Future[Any] = client.loop.create_future()

    def answer(self, result: Any) -> None:
        """The reply has come."""
        self._tell(lambda: self.future.set_result(result))

    def fail(self, reason: str) -> None:
        """It never will."""
        self._note_failure()
        self._raise(reason)

    def lose(self, patience: float, reason: str) -> None:
        """The same, which its sender learns in so many seconds."""
        self._note_failure()
        self.client.server.world.after(patience, self._raise, reason)

    def _note_failure(self) -> None:
        self.client.failures.append(self.client.server.world.now)

    def _raise(self, reason: str) -> None:
        self._tell(lambda: self.future.set_exception(StoreError(f"{self.verb}: {reason}")))

    def _tell(self, tell: Callable[[], None]) -> None:
        def once() -> None:
            if not self.future.done():
                tell()

        if not self.client.loop.dead:
            self.client.loop.call_soon(once)


class _Connection:
    """A process's way to the server: every verb is one call."""

    url = "sim://"

    def __init__(self, server: Server, loop: SimLoop) -> None:
        self.server = server
        self.loop = loop
        self.connected = False  # wake-ups reach it
        self.failures: list[float] = []  # when a call of it failed
        self._broken = False
        self._woken: dict[str, None] = {}  # in order
        self._bell = asyncio.Event()
        server.clients.append(self)  # type: ignore[arg-type]

    async def _ask(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        call = Call(self, verb, args, kwargs)
        self.server.receive(call)
        return await call.future

    async def connect(self) -> None:
        await self._ask("now")

    async def close(self) -> None:
        self.connected = False
        self.server.clients.remove(self)  # type: ignore[arg-type]

    async def wait(self, queues: Collection[str], timeout: float) -> set[str]:
        if not self.connected:
            self.connected, self._broken = True, False
            try:
                await self._ask("now")
            except StoreError:
                self.connected = False
                raise
            return set(queues)
        try:
            async with asyncio.timeout(timeout):
                while not self._woken.keys() & set(queues):
                    self._bell.clear()
                    await self._bell.wait()
                    if self._broken:
                        raise StoreError("wait: connection reset")
        except TimeoutError:
            return set()
        woken = set(queues) & self._woken.keys()
        for queue in woken:
            del self._woken[queue]
        return woken

    def wake(self, queue: str) -> None:
        """A wake-up arrives."""
        if self.connected and not self.loop.dead:
            self._woken[queue] = None
            self.loop.call_soon(self._bell.set)

    @property
    def hears(self) -> bool:
        """Whether a job may be claimed for a worker here."""
        return self.connected and not self.loop.dead

    def post(self, claim: Claim, sign_up: int) -> None:
        """A job is claimed for a worker here."""
        self.server.post(self, Assigned(claim, sign_up, self.loop.time()))  # type: ignore[arg-type]

    def hear(self, assigned: Assigned) -> None:
        """The message about it arrives."""
        if self.connected and not self.loop.dead:
            self.loop.call_soon(self._take, assigned)

    def take_assigned(self, take: Take) -> None:
        self._take = take

    def disconnect(self) -> None:
        """The connection is cut, and so is a wait on it."""
        if self.connected and not self.loop.dead:
            self.connected, self._broken = False, True
            self.loop.call_soon(self._bell.set)


def _remote(verb: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def call(self: _Connection, *args: Any, **kwargs: Any) -> Any:
        return await self._ask(verb, *args, **kwargs)

    return call


_VERBS = (BaseBackend.__abstractmethods__ | {"retire"}) - set(vars(_Connection))

RemoteStore = type(
    "RemoteStore", (_Connection, BaseBackend), {verb: _remote(verb) for verb in _VERBS}
)
"""A `BaseBackend` whose verbs are calls to a `Server`; made so that no verb can be forgotten."""
