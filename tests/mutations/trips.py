"""Bugs in the round trips that calls of several queues share on Redis."""

from __future__ import annotations

from tests.mutations.mutation import mutations

_SHARED = "tests/unit/test_redis_shared_trips.py"

SHARED_TRIPS = mutations(
    "redis/",
    "redis",
    (
        ("shared_trips.py", "if not self._under_way or", "if True or", _SHARED),
        ("shared_trips.py", "self._waiting = self._waiting, []", "_ = self._waiting, []", _SHARED),
        ("shared_trips.py", "waiting[at : at + MOST]", "waiting", _SHARED),
        ("shared_trips.py", "run_each([command for", "run_all([command for", _SHARED),
        (
            "shared_trips.py",
            "[command for command, _ in calls]",
            "[calls[0][0]] * len(calls)",
            _SHARED,
        ),
        ("shared_trips.py", "replies = [error] *", "replies = [None] *", _SHARED),
        (
            "shared_trips.py",
            "            if not isinstance(error, Exception):\n                raise\n",
            "",
            _SHARED,
        ),
        (
            "shared_trips.py",
            "zip(calls, replies, strict=True)",
            "zip(calls, replies[::-1])",
            _SHARED,
        ),
        ("shared_trips.py", "elif isinstance(reply, BaseException):", "elif False:", _SHARED),
        (
            "shared_trips.py",
            "    if future.done():  # nobody waits any more\n        return\n",
            "",
            _SHARED,
        ),
        (
            "calls.py",
            "replies[at] = self.error(reply, sent=True",
            "self.error(reply, sent=True",
            _SHARED,
        ),
        ("scripts.py", "IN_FULL = (_once, _each)", "IN_FULL = (_each,)", _SHARED),
        ("scripts.py", "IN_FULL = (_once, _each)", "IN_FULL = (_once,)", _SHARED),
        (
            "server.py",
            "        if not self._connected:\n            return await self._one(",
            "        if True:\n            return await self._one(",
            _SHARED,
        ),
    ),
)
