"""What only people ask of the store in Redis."""

from __future__ import annotations

from asyncmqd.backends.contract.insight import KEYS_LOOKED_AT
from asyncmqd.backends.redis.encoding import micros, seconds
from asyncmqd.backends.redis.events import RedisEvents
from asyncmqd.backends.redis.scripts import call
from asyncmqd.domain.in_line import InLine
from asyncmqd.domain.key_backlog import BusyKey, KeyBacklog
from asyncmqd.domain.marks import KEPT, KEPT_FOR, Marked, marked

_DIGITS = 16


class RedisInsight(RedisEvents):
    """The face of insight; `store.RedisBackend` has the others."""

    async def attempts(self, queue: str, id: str) -> bytes:
        [found] = await self._run(("HGET", f"{self._base(queue)}left:{id}", "attempts"))
        return found or b""

    async def key_backlog(self, queue: str, most: int) -> KeyBacklog:
        looked, of, keys = await self._one("key_backlog", queue, most, KEYS_LOOKED_AT)
        found = [BusyKey(key.decode(), *numbers) for key, *numbers in keys]
        # Here, for how Lua compares texts depends on the host.
        return KeyBacklog(sorted(found, key=lambda each: (-each.waiting, each.key)), looked, of)

    async def in_line(self, queue: str, id: str) -> InLine | None:
        found = await self._one("in_line", queue, id)
        if not found:
            return None
        ahead, turns, better, others, first = found
        return InLine(ahead, None if turns < 0 else turns, better, others, first.decode())

    async def mark(self, id: str, mark: bytes) -> None:
        await self._run(call("mark", [f"{self._prefix}:marks"], [id, mark, KEPT, micros(KEPT_FOR)]))

    async def marks(self) -> list[Marked]:
        [found] = await self._run(("HVALS", f"{self._prefix}:marks"))
        marks = (marked(seconds(int(each[:_DIGITS])), each[_DIGITS:]) for each in sorted(found))
        return [each for each in marks if each is not None]
