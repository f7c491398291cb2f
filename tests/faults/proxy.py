"""A TCP proxy of the tests' own: it cuts, resets, silences, delays and splits what passes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import weakref
from collections.abc import Callable
from typing import Literal, Self, TypeVar

Way = Literal["up", "down"]  # to the server, and from it
BOTH: tuple[Way, Way] = ("up", "down")

Answer = TypeVar("Answer")


class _Flow:
    """One connection, and whether bytes may pass in each direction."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.ends = (client, server)
        self.open: dict[Way, asyncio.Event] = {way: asyncio.Event() for way in BOTH}
        for gate in self.open.values():
            gate.set()

    def close(self, *, reset: bool = False) -> None:
        for end in self.ends:
            if reset:  # what is sent is a RST in place of a FIN
                raw = end.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort() if reset else end.close()


class Proxy:
    """Stands before a port of 127.0.0.1, in a thread with a loop of its own.

    `delay` gives the seconds that each piece takes, `piece` the bytes that pass at once, `target`
    is the port that new connections lead to. All may be changed while it runs.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.delay: Callable[[], float] | None = None
        self.piece = 65_536
        self.target = target
        self._refuses = False
        self._flows: set[_Flow] = set()
        self._begun: set[asyncio.Task[None]] = set()  # pumps, and who is let in just now
        # Also those that are closed and wait for somebody to take the rest of what they hold.
        self._ends: weakref.WeakSet[asyncio.WriteTransport] = weakref.WeakSet()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._open)
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # ------------------------------------------------------------------ what a test does to it

    def cut(self) -> None:
        """End all connections, and take no new ones until `mend`."""
        self._refuses = True
        self._each(lambda flow: flow.close())

    def mend(self) -> None:
        """Let everything pass again that may."""
        self._refuses = False
        self._each(lambda flow: [gate.set() for gate in flow.open.values()])

    def reset(self) -> None:
        """End all connections with a RST; new ones are taken."""
        self._each(lambda flow: flow.close(reset=True))

    def silence(self, *ways: Way) -> None:
        """Hold back what comes on the connections that are open; later ones are not touched."""
        self._each(lambda flow: [flow.open[way].clear() for way in ways])

    def _each(self, deed: Callable[[_Flow], object]) -> None:
        async def all_of_them() -> None:
            for flow in list(self._flows):
                deed(flow)

        self._do(all_of_them)

    # ------------------------------------------------------------------ in its loop

    def _do(self, work: Callable[[], object]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(10)  # type: ignore[arg-type]

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        """Close all sockets, and those of who comes just now.

        asyncio's own tasks let somebody in. They are not cancelled, and the server is closed after
        them: otherwise one that has not begun never closes its socket.
        """
        self._refuses = True
        for listener in self._server.sockets:
            self._loop.remove_reader(listener.fileno())
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for each in self._begun:
                each.cancel()
            for end in list(self._ends):
                end.abort()
            await asyncio.wait(others)
        for end in list(self._ends):
            end.abort()
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer.transport)
        if self._refuses:
            writer.close()
            return
        me = asyncio.current_task()
        assert me is not None
        self._begun.add(me)
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self.target)
        except (OSError, asyncio.CancelledError):  # by _close: asyncio takes no cancelled task here
            writer.close()
            return
        finally:
            self._begun.discard(me)
        self._ends.add(server.transport)
        flow = _Flow(writer, server)
        self._flows.add(flow)
        for source, end, way in ((reader, server, "up"), (answers, writer, "down")):
            pump = asyncio.create_task(self._pump(flow, source, end, way))
            self._begun.add(pump)
            pump.add_done_callback(self._begun.discard)

    async def _pump(
        self, flow: _Flow, source: asyncio.StreamReader, end: asyncio.StreamWriter, way: Way
    ) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    for at in range(0, len(data), self.piece):
                        await flow.open[way].wait()
                        if self.delay is not None:
                            await asyncio.sleep(self.delay())
                        end.write(data[at : at + self.piece])
                        await end.drain()
        finally:
            self._flows.discard(flow)
            flow.close()
