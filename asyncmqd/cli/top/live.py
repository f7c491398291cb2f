"""A store that is looked at again and again, while somebody acts on it by keyboard."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from msgspec.structs import replace

from asyncmqd.admin import job_actions, queues
from asyncmqd.admin.causes import Own, of_daemon
from asyncmqd.admin.errors import AdminError
from asyncmqd.admin.overview import Looks, Overview
from asyncmqd.backends.base import BaseBackend, StoreError, StoreRefused
from asyncmqd.cli.top.keys import press
from asyncmqd.cli.top.position import Act, Position
from asyncmqd.cli.top.screen import Screen
from asyncmqd.cli.top.view import Seen, screen
from asyncmqd.domain import clock

PATIENCE = 3.0  # seconds after which a store that has not answered is said to be slow
_DRAWN_EVERY = 1.0  # seconds: ages grow, also while the store does not answer


class Sight:
    """What is known of a store, and for how long already nothing new is."""

    def __init__(self, store: BaseBackend, by: str) -> None:
        self._store = store
        self._by = by
        self._looks = Looks(store)
        self._overview: Overview | None = None
        self._answered = self._asked = clock.monotonic()
        self._error = ""
        self._since: float | None = None  # when it failed first, by this host's clock

    async def look(self, position: Position, *, judge: bool = False) -> None:
        """Ask the store. Raises StoreRefused if it never answered and never will."""
        self._asked = clock.monotonic()
        try:
            self._overview = await self._looks.look(position.wanted, judge=judge)
        except StoreError as error:
            if isinstance(error, StoreRefused) and self._overview is None:
                raise
            self._fail(f"{error}")
        else:
            self._answered, self._error, self._since = clock.monotonic(), "", None

    def _fail(self, error: str) -> None:
        self._error = error
        if self._since is None:
            self._since = clock.wall() - (clock.monotonic() - self._asked)

    @property
    def overview(self) -> Overview | None:
        """What the store said last."""
        return self._overview

    @property
    def error(self) -> str:
        """Why it does not answer; empty: it does."""
        return self._error

    def seen(self, *, asking: bool = False) -> Seen:
        """It with its age. `asking`: a look is under way."""
        waited = clock.monotonic() - self._asked
        if asking and waited > PATIENCE and not self._error:
            self._fail(f"it has not answered for {waited:.0f} s")
        own = Own(store_error=self._error, store_since=self._since)
        found = self._overview
        return Seen(
            overview=found,
            causes=of_daemon(own, [] if found is None else list(found.causes)),
            age=clock.monotonic() - self._answered,
            old=bool(self._error),
            store=self._store.url,
            by=self._by,
        )


class Live:
    """A screen that shows a store until somebody quits."""

    def __init__(self, store: BaseBackend, terminal: Screen, interval: float, by: str) -> None:
        self._store = store
        self._screen = terminal
        self._interval = interval
        self._by = by
        self._sight = Sight(store, by)
        self._position = Position()
        self._looking: asyncio.Task[None] | None = None
        self._now = asyncio.Event()  # set: to look again at once
        self._judge = False  # whether to ask at the next look what is wrong: something was done
        self._acting: set[asyncio.Task[None]] = set()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until the end. Raises StoreRefused."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, self._quit)
        loop.add_signal_handler(signal.SIGWINCH, self._resized)
        loop.add_reader(sys.stdin, self._read)
        tasks = [asyncio.create_task(each) for each in (self._look_on(), self._draw_on())]
        for task in tasks:
            task.add_done_callback(self._ended)
        try:
            await self._end
        finally:
            loop.remove_reader(sys.stdin)
            await _cancelled([*tasks, *self._acting, *filter(None, [self._looking])])

    def _quit(self) -> None:
        if not self._end.done():
            self._end.set_result(None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Tell of what nobody foresaw."""
        if not task.cancelled() and not self._end.done() and (error := task.exception()):
            self._end.set_exception(error)

    # ------------------------------------------------------------------ looking

    async def _look_on(self) -> None:
        while True:
            judge, self._judge = self._judge, False
            self._now.clear()
            self._looking = asyncio.create_task(self._sight.look(self._position, judge=judge))
            await self._looking
            self._draw()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._now.wait()

    async def _draw_on(self) -> None:
        while True:
            self._draw()
            await asyncio.sleep(_DRAWN_EVERY)

    def _draw(self) -> None:
        asking = self._looking is not None and not self._looking.done()
        seen = self._sight.seen(asking=asking)
        self._screen.draw(screen(seen, self._position, *self._screen.size))

    # ------------------------------------------------------------------ the keyboard

    def _resized(self) -> None:
        self._screen.resized()
        self._draw()

    def _read(self) -> None:
        if not self._screen.is_there:
            self._quit()
            return
        before = self._position.wanted
        for key in self._screen.pressed():
            self._position, command = press(self._position, key, self._sight.overview)
            if command == "quit":
                self._quit()
            elif command == "redraw":
                self._screen.redraw()
            elif command is not None:
                task = asyncio.create_task(self._do(command))
                self._acting.add(task)
                task.add_done_callback(self._acting.discard)
                task.add_done_callback(self._ended)
        if self._position.wanted != before:
            self._now.set()
        self._draw()

    async def _do(self, act: Act) -> None:
        try:
            problem = await done(self._store, act, self._by)
        except (StoreError, AdminError) as error:
            problem = f"{error}"
        said = f"{act.verb} {act.named}, by {self._by}: {problem or 'done'}"
        self._position = replace(self._position, said=said)
        self._judge = True
        self._now.set()
        self._draw()


async def done(store: BaseBackend, act: Act, by: str) -> str | None:
    """Do it; why it was not done, if it was not. Raises StoreError and AdminError."""
    if act.verb == "pause":
        await queues.pause(store, act.queue, by=by, reason=act.reason)
    elif act.verb == "resume":
        await queues.resume(store, act.queue, by=by)
    else:
        return (await job_actions.move(store, act.verb, [act.id], act.queue, by))[act.id]
    return None


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_DRAWN_EVERY)
