"""`Http`: the daemon's answers over HTTP, from the socket that it listens at to the end."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from asyncmqd.admin.concealed import concealed, concealed_cause
from asyncmqd.admin.errors import AdminError, NotFound, WrongArguments
from asyncmqd.admin.verbs import VERBS
from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.config.http import Address, address_of
from asyncmqd.config.http import Http as Keys
from asyncmqd.daemon.control_server import Call, Commands, Refused
from asyncmqd.daemon.instance_lock import CannotStart
from asyncmqd.daemon.metrics_text import Scraper
from asyncmqd.daemon.queue_processes import Serving
from asyncmqd.daemon.shared_answers import SharedAnswers
from asyncmqd.daemon.stale_sockets import remove_stale
from asyncmqd.daemon.status import Readiness, Status, told_refusal
from asyncmqd.daemon.status import told as told_cause
from asyncmqd.daemon.verbs import STORE_LIMIT, operates
from asyncmqd.domain import clock
from asyncmqd.runtime.duties import told
from asyncmqd.web.api import CannotDo, hidden
from asyncmqd.web.event_streams import EventStreams
from asyncmqd.web.openapi import DAEMON, document
from asyncmqd.web.routes import Routes
from asyncmqd.web.server import Request, Server, Stream

if TYPE_CHECKING:
    from pathlib import Path

    from asyncmqd.admin.causes import Cause

Answer = TypeVar("Answer")
FRESH = 2.0  # seconds for which an answer of the store is told to all who ask
LOOK_LIMIT = 0.5  # seconds that the store gets: who asks for /readyz often waits for one second
_BACKLOG = 128
_GONE = 30_000  # milliseconds without a sign from a client to which something was sent
_TELL_EVERY = 10.0  # seconds between two log lines about refused requests


class Http:
    """Listens while it is started. The addresses are those of the keys at the start."""

    def __init__(self, keys: Keys, serving: Serving, status: Status, commands: Commands) -> None:
        self._keys = keys
        self._serving = serving
        self._status = status
        self._commands = commands
        self._observer = serving.context.observer
        self._scraper = Scraper(serving, status)
        self._answers = SharedAnswers()
        self._streams = EventStreams(serving.context.backend, hides=keys.hide_arguments)
        self._server = Server(Routes(keys, self, self._tell_refusal).answer, self._tell_error)
        self._path: Path | None = None
        self._told = float("-inf")

    async def start(self) -> None:
        """Listen. Raises CannotStart."""
        address = address_of(self._keys.listen or "")
        if address.path is not None:
            remove_stale(address.path, "[http] listen")
        listener = _bind(address)
        self._path = address.path
        await self._server.start(listener)
        self._observer.event("http.listening", address=self._keys.listen)

    async def stop(self) -> None:
        """Answer no more."""
        await self._server.stop()
        await self._answers.stop()
        self._streams.stop()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _tell_refusal(self, reason: str, address: str) -> None:
        """One log line for many: nobody fills the log by asking."""
        if clock.monotonic() - self._told >= _TELL_EVERY:
            self._told = clock.monotonic()
            self._observer.event("http.refused", error=reason, address=address)

    def _tell_error(self, error: Exception) -> None:
        self._observer.event("http.failed", error=told(error), exc_info=error)

    # ------------------------------------------------------------------ what is asked for

    def is_well(self) -> bool:
        """See `Source`."""
        return self._serving.is_well

    async def readiness(self) -> Readiness:
        """See `Source`."""
        await self._status.look(FRESH, LOOK_LIMIT)
        return self._status.readiness(self._causes())

    def _causes(self) -> list[Cause]:
        hides = self._keys.hide_arguments
        found = self._status.causes(self._serving.report(), conceals=hides)
        return [concealed_cause(each) for each in found] if hides else found

    async def metrics(self) -> bytes:
        """See `Source`. All who ask at the same time share one answer."""
        text: bytes = await self._answers.get("metrics", self._scraper.text)
        return text

    def events(self, request: Request, may_go_on: Callable[[], bool]) -> Stream:
        """See `Source`."""
        return self._streams.open(request, may_go_on)

    def operates(self, name: str) -> bool | None:
        """See `Source`."""
        if name in DAEMON:
            return DAEMON[name][1]
        return operates(name)

    def names(self) -> list[str]:
        """See `Source`."""
        return [*DAEMON, *VERBS]

    def document(self) -> dict[str, Any]:
        """See `Source`."""
        return document(self._keys.prefix or "")

    async def command(self, name: str, arguments: dict[str, Any], *, typed: bool, by: str) -> Any:
        """See `Source`."""
        hides = self._keys.hide_arguments
        try:
            if name in DAEMON:
                found = await self._of_daemon(name, by)
            else:
                found = await self._commands.verb(Call(name, arguments, by, typed, hides))
            return hidden(name, found) if hides else found
        except Refused as refusal:
            message = refusal.concealed if hides else str(refusal)
            raise CannotDo(message, refusal.status) from None
        except Exception as error:  # noqa: BLE001 - the daemon goes on, whatever is asked of it
            self._tell_error(error)
            raise CannotDo("an error of the daemon: its log has it", 500) from None

    async def read(self, work: Callable[[BaseBackend], Awaitable[Answer]]) -> Answer:
        """See `Source`."""
        store = self._serving.context.backend
        try:
            async with asyncio.timeout(STORE_LIMIT):
                return await work(concealed(store) if self._keys.hide_arguments else store)
        except NotFound as error:
            raise CannotDo(str(error), 404) from None
        except AdminError as error:
            status = 400 if isinstance(error, WrongArguments) else 409
            raise CannotDo(str(error), status) from None
        except TimeoutError:
            raise CannotDo(f"it has not answered within {STORE_LIMIT:g} s", 503) from None
        except StoreError as error:
            raise CannotDo(str(error), 503) from None

    def configured(self) -> Iterable[str]:
        """See `Source`."""
        return self._status.configuration.settings.queues

    def causes(self, of_store: Sequence[Cause]) -> list[Cause]:
        """See `Source`."""
        hides = self._keys.hide_arguments
        return self._status.causes(self._serving.report(), of_store, conceals=hides)

    async def _of_daemon(self, name: str, by: str) -> Any:
        match name:
            case "status":
                status = await self._answers.get("status", self._commands.status)
                causes = [told_cause(each) for each in self._causes()]
                return {**status, "causes": causes, "config": self._about(status["config"])}
            case "config":
                return await self._commands.config()
            case "plan":
                plan = partial(self._commands.plan, conceals=self._keys.hide_arguments)
                return await self._answers.get("plan", plan)
            case "reload":
                self._observer.event("http.operated", action=name, by=by)
                return await self._commands.reload(by, conceals=self._keys.hide_arguments)
        return None

    def _about(self, config: dict[str, Any]) -> dict[str, Any]:
        hides = self._keys.hide_arguments
        return {**config, "refusal": told_refusal(self._status.configuration, conceals=hides)}


def _bind(address: Address) -> socket.socket:
    try:
        if address.path is not None:
            return _bind_path(address.path)
        [(family, kind, _, _, where), *_] = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, kind)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # What is accepted has it, too: who vanished without a word has no stream for ever.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE)
            listener.bind(where)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        place = address.path or f"{address.host}:{address.port}"
        raise CannotStart(f"http.listen: cannot listen at {place}: {error}") from None
    return listener


def _bind_path(path: Path) -> socket.socket:
    """A socket for this user and its group, from the first moment on."""
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o117)
    try:
        listener.bind(os.fspath(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener
