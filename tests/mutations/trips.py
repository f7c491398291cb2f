"""Bugs in the round trips that calls of several queues share on Redis."""

from __future__ import annotations

from tests.mutations.mutation import mutations

_SHARED = "tests/unit/test_redis_shared_trips.py"
_TOGETHER = "turns_together"
_WIRE = "tests/unit/test_redis_wire.py"
_LIMITS = "tests/unit/test_redis_time_limits.py"
_AGAIN = "tests/unit/test_redis_second_try.py"
_FAULTS = "tests/unit/test_redis_faults.py"

SHARED_TRIPS = mutations(
    "redis/",
    "redis",
    (
        ("shared_trips.py", "if not self._under_way or", "if True or", _SHARED),
        ("shared_trips.py", "self._waiting = self._waiting, []", "_ = self._waiting, []", _SHARED),
        ("shared_trips.py", "len(group) == MOST or", "False or", _SHARED),
        ("shared_trips.py", "jobs > PAGE or", "False or", _SHARED),
        ("shared_trips.py", " or each.common != group[0].common", "", _SHARED),
        ("shared_trips.py", "group, jobs = [], each.part.jobs", "group, jobs = [], 0", _SHARED),
        ("shared_trips.py", "for part in parts for arg", "for part in parts[:1] for arg", _SHARED),
        ("shared_trips.py", "            at += 1 + size", "            at += size", _SHARED),
        ("shared_trips.py", "except StoreRefused:", "except ZeroDivisionError:", _SHARED),
        ("shared_trips.py", "except StoreRefused:", "except Exception:", _SHARED),
        ("shared_trips.py", "replies = [error] *", "replies = [None] *", _SHARED),
        (
            "shared_trips.py",
            "            if not isinstance(error, Exception):\n                raise\n",
            "",
            _SHARED,
        ),
        (
            "shared_trips.py",
            "zip(group, replies, strict=True)",
            "zip(group, replies[::-1])",
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
        ("calls.py", "if any(map(says_elsewhere, errors)):", "if False:", _SHARED),
        ("calls.py", "self.error(each, sent=True) if", "None if", _SHARED),
        ("time_limits.py", "self._timer = loop.call_at(end, self._expire)", "pass", _LIMITS),
        ("time_limits.py", "        del self._ends[call]", "        pass", _LIMITS),
        ("time_limits.py", " and not cancelled:", ":", _LIMITS),
        ("time_limits.py", "if self.has_expired and task", "if task", _LIMITS),
        ("wire.py", " and not self._reader.has_data()", "", _WIRE),
        ("wire.py", "not self._writable.is_set()", "False", _WIRE),
        ("wire.py", "isinstance(reply, LostConnection)", "False", _AGAIN),
        ("wire.py", "isinstance(reply, Exception)", "False", _FAULTS),
        ("wire.py", "not self._reason and", "True and", _FAULTS),
        ("single_server.py", "wire.close()\n            # A s", "self._idle += [wire]\n#", _FAULTS),
        ("errors.py", "str(error).startswith(_NO_LOGIN)", "False", _FAULTS),
        ("turn.lua", "pcall(serve, function", "true, serve(function", _SHARED),
        ("turn.lua", "    base = KEYS[number]\n", "", _TOGETHER),
        ("turn.lua", "number, at = number + 1, behind + 1", "number, at = number + 1, at", _SHARED),
        ("turn.lua", " or not is_plain()", "", _TOGETHER),
        ("_turn.lua", "  bytes, packed = 0, {}\n", "", _SHARED),
        ("_changes.lua", "lasts and kinds or nil", "kinds", _TOGETHER),
        ("_changes.lua", "{wake = rows[1]}", "{wake = 'none'}", "waking"),
        ("_plain.lua", "base .. 'laned', ", "", "lanes"),
        ("_plain.lua", "BLOCKED, base", "BLOCKED .. 'x', base", "blocked"),
        ("_plain.lua", "base .. 'paused', ", "", "administration"),
        ("_plain.lua", "base .. 'limits', ", "", "shared_limits"),
        ("_plain.lua", "base .. 'hearers', ", "", "endings"),
        ("_plain.lua", ", base .. 'waiters')", ")", "waking"),
    ),
)
