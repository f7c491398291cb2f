"""The control socket's server. The kernel says who asks, and that decides what he may ask for."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from asyncmqd.client.acting_user import name_of
from asyncmqd.daemon.control_protocol import (
    COMMANDS,
    HEADER,
    OPERATE,
    REQUEST_LIMIT,
    Reply,
    Request,
    pack,
)
from asyncmqd.daemon.instance_lock import CannotStart, prepare
from asyncmqd.daemon.shared_answers import SharedAnswers
from asyncmqd.daemon.socket_peers import Peer, Peers
from asyncmqd.daemon.stale_sockets import remove_stale

MOST_CLIENTS = 32  # of one user: nobody can keep root from asking by asking for ever
ASK_LIMIT = 5.0  # seconds that a client has for its request, and for taking the answer


class Refused(Exception):
    """The daemon will not do it; the message says why. `status` is that of an answer over HTTP.

    `concealed` is the message without what an application chose, if it has any of that.
    """

    def __init__(self, message: str, status: int = 409, concealed: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.concealed = concealed or message


class Call(NamedTuple):
    """What somebody asks of the store by name."""

    name: str
    arguments: dict[str, Any]
    by: str
    typed: bool = True  # otherwise all arguments are text
    conceals: bool = False  # nothing is to be told that an application wrote into jobs


class Commands(Protocol):
    """What can be asked. Results are JSON values; Refused becomes an answer.

    `conceals`: without the names of keys that have limits.
    """

    async def status(self) -> dict[str, Any]:
        """What the daemon is doing."""

    async def plan(self, *, conceals: bool = False) -> dict[str, Any]:
        """What a reload would change. Raises Refused."""

    async def config(self) -> dict[str, Any]:
        """What is in force: all keys that are not as usual."""

    async def reload(self, by: str, *, conceals: bool = False) -> dict[str, Any]:
        """Reload, and say what changed. Raises Refused."""

    async def verb(self, call: Call) -> Any:
        """Do what the store is asked for by name: see `admin.verbs`. Raises Refused."""


class _Client:
    """One connection."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.waits = False  # for an answer that is being made


class Control:
    """Listens at a path. Root and this user may ask for everything; the members of the socket's
    group for what only reads, and with `group_operates` for everything.
    """

    def __init__(self, path: Path, commands: Commands, *, group_operates: bool = False) -> None:
        self.path = path
        self._commands = commands
        self._group_operates = group_operates
        self._clients: set[asyncio.Task[None]] = set()
        self._asking: defaultdict[int, list[_Client]] = defaultdict(list)  # of each user
        self._answers = SharedAnswers()
        self._server: asyncio.Server | None = None

    # ------------------------------------------------------------------ life

    async def start(self) -> str:
        """Listen; what an administrator should know of it. Raises CannotStart.

        Call it with the instance's lock held.
        """
        remove_stale(self.path, "control_socket")
        listener = self._bind()
        try:
            self._peers = Peers(self.path.stat().st_gid, group_operates=self._group_operates)
        except OSError as error:  # there is no /proc
            listener.close()
            self.path.unlink()
            raise CannotStart(f"expected to read {error.filename}, got {error.strerror}") from None
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)
        return self._peers.warning

    def _bind(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        try:
            # The mode is right from the first moment: chmod afterwards would leave a gap.
            before = os.umask(0o117)
            try:
                listener.bind(os.fspath(self.path))
            finally:
                os.umask(before)
        except OSError as error:
            listener.close()
            raise CannotStart(f"control_socket: cannot listen at {self.path}: {error}") from None
        return listener

    def _is_there(self) -> bool:
        return os.path.lexists(self.path)

    async def look_after(self) -> str:
        """Listen anew if somebody has deleted the socket; what an administrator should know of it.

        Cleaners of /tmp do that to a socket that is in use: its times stay those of its first day.
        """
        if self._server is None or self._is_there():
            return ""
        try:
            prepare(self.path.parent)
            listener = self._bind()
        except CannotStart:
            return ""  # it is tried again
        before = self._server
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)
        before.close()
        return f"control_socket: {self.path} was deleted by somebody; the daemon made it again"

    async def stop(self) -> None:
        """Listen no more; clients that wait for an answer are cut off."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self.path.unlink(missing_ok=True)
        for client in self._clients:
            client.cancel()
        await self._answers.stop()
        await asyncio.gather(*self._clients, return_exceptions=True)

    # ------------------------------------------------------------------ one client

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._converse(reader, writer, _Client(task))
        except (OSError, EOFError, TimeoutError):
            return  # it went away, or took too long: it gets no answer
        finally:
            self._clients.discard(task)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: _Client
    ) -> None:
        peer = self._peers.of(writer.get_extra_info("socket"))
        self._asking[peer.user].append(client)
        try:
            refusal = self._refusal(peer)
            if refusal is not None:
                await _send(writer, Reply(ok=False, error=refusal))
                return
            await self._answer_all(reader, writer, peer, client)
        finally:
            if client in self._asking[peer.user]:
                self._asking[peer.user].remove(client)

    async def _answer_all(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: Peer,
        client: _Client,
    ) -> None:
        while (request := await _receive(reader)) is not None:
            if isinstance(request, Reply):
                await _send(writer, request)
                return
            client.waits = True
            reply = await self._answer(request, peer)
            client.waits = False
            await _send(writer, reply)

    def _refusal(self, peer: Peer) -> str | None:
        if not peer.reads:
            return f"user {peer.user} may not ask: expected root, the daemon's user or its group"
        if len(self._asking[peer.user]) > MOST_CLIENTS and not self._cut_off_idle(peer.user):
            return f"more than {MOST_CLIENTS} clients of user {peer.user} ask at the same time"
        return None

    def _cut_off_idle(self, user: int) -> bool:
        """End the oldest connection of this user that waits for no answer; whether there is one.

        Several people may be one user to us, in a user namespace, and one of them could keep the
        others out by connections that ask for nothing.
        """
        for client in self._asking[user][:-1]:
            if not client.waits:
                client.task.cancel()
                self._asking[user].remove(client)
                return True
        return False

    async def _answer(self, request: Request, peer: Peer) -> Reply:
        operates = _operates(request.command)
        if operates is None:
            return Reply(ok=False, error=f"expected a command, got {request.command[:80]!r}")
        if operates and not peer.operates:
            who = "root or the daemon's user; its group if control_group is 'operate'"
            error = f"user {peer.user} may not ask for {request.command}: expected {who}"
            return Reply(ok=False, error=error)
        try:
            match request.command:
                case "ping":
                    return Reply(ok=True)
                case "status":
                    return Reply(ok=True, result=await self._shared("status"))
                case "plan":
                    return Reply(ok=True, result=await self._shared("plan"))
                case "config":
                    return Reply(ok=True, result=await self._commands.config())
                case "reload":
                    return Reply(ok=True, result=await self._commands.reload(name_of(peer.user)))
                case name:
                    by = name_of(peer.user)
                    done = await self._commands.verb(Call(name, request.arguments, by))
                    return Reply(ok=True, result=done)
        except Refused as refusal:
            return Reply(ok=False, error=str(refusal))

    async def _shared(self, command: Literal["status", "plan"]) -> dict[str, Any]:
        work = self._commands.status if command == "status" else self._commands.plan
        answer: dict[str, Any] = await self._answers.get(command, work)
        return answer


def _operates(command: str) -> bool | None:
    """Whether a command changes something; None: there is none of this name."""
    if command in COMMANDS:
        return command in OPERATE
    from asyncmqd.daemon.verbs import operates  # nobody else pays for it

    return operates(command)


async def _receive(reader: asyncio.StreamReader) -> Request | Reply | None:
    """The next request; a Reply to what is none; None when the client has closed."""
    async with asyncio.timeout(ASK_LIMIT):
        header = await reader.read(1)
        if not header:
            return None
        (size,) = HEADER.unpack(header + await reader.readexactly(HEADER.size - 1))
        if size > REQUEST_LIMIT:
            return Reply(ok=False, error=f"expected at most {REQUEST_LIMIT} bytes, got {size}")
        data = await reader.readexactly(size)
    try:
        return msgspec.json.decode(data, type=Request)
    except (ValueError, RecursionError) as error:
        return Reply(ok=False, error=f"expected a request, got {error}")


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    writer.write(pack(reply))
    async with asyncio.timeout(ASK_LIMIT):
        await writer.drain()
