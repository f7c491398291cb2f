"""Bugs in how jobs are assigned when they are added."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, mutations
from tests.servers import USUAL

_CONTRACT = "assigning"
_WAKEUPS = "tests/unit/test_redis_wakeups.py"
_RIGHTS = "tests/unit/test_redis_rights.py"
_RUNTIME = ("tests/runtime/test_assigned.py",)

_MEMORY = mutations(
    "memory/",
    "memory",
    (
        ("store.py", "data.pause or data.limits or", "data.limits or", _CONTRACT),
        ("store.py", "data.pause or data.limits or", "data.pause or", _CONTRACT),
        ("store.py", " or len(data.lines[State.WAITING]) != 1", "", _CONTRACT),
        ("store.py", " or data.lines[KEYED] or", " or", _CONTRACT),
        ("store.py", "payload[: limit + 1]", "payload", _CONTRACT),
        ("store.py", "            waiters.pop(receiver, None)\n", "", _CONTRACT),
        (
            "wakeups.py",
            "list(self._store.waiters.values())",
            "self._store.waiters.values()",
            *_RUNTIME,
        ),
        ("instances.py", "waiters.pop(receiver, None)", "waiters.pop(receiver)", *_RUNTIME),
    ),
)
_REDIS = mutations(
    "redis/",
    USUAL,
    (
        ("_assign.lua", "'EXISTS', base .. 'paused', ", "'EXISTS', ", _CONTRACT),
        ("_assign.lua", "base .. 'limits', base .. 'laned'", "base .. 'laned'", _CONTRACT),
        ("_assign.lua", ", base .. 'laned') == 0", ") == 0", _CONTRACT),
        ("_assign.lua", "#first == 2 and", "#first > 0 and", _CONTRACT),
        ("_assign.lua", "now + lease, id", "now, id", _CONTRACT),
        ("_assign.lua", "listening[2] > 0", "true", _CONTRACT),
        ("_wake.lua", " and redis.pcall('PUBSUB', 'NUMSUB', channel)[2] ~= 0", "", _WAKEUPS),
        ("_wake.lua", "channel)[2] ~= 0", "channel)[2] == 1", _RIGHTS),
        ("hear.lua", "channel)[2] == 0", "channel)[2] == -1", _WAKEUPS),
        ("_assign.lua", "not sign_up or not hears(channel)", "not sign_up", _WAKEUPS),
        ("_assign.lua", "redis.call('ZREM', base .. WAITING, id) == 1\n", "true\n", _CONTRACT),
        ("_assign.lua", "    redis.call('ZREM', base .. ACTIVE, id)\n", "", _RIGHTS),
        ("_assign.lua", "    redis.call('HDEL', base .. 'runs', id)\n", "", _RIGHTS),
        ("_assign.lua", "  redis.call('HSET', base .. 'runs', id, run)\n", "", _CONTRACT),
        ("_assign.lua", "type(redis.pcall('PUBLISH', channel, message))", "'number'", _RIGHTS),
        ("_wake.lua", "    redis.call('HDEL', base .. 'offers', channel)\n", "", _WAKEUPS),
        ("_waiters.lua", "    redis.call('HDEL', base .. 'offers', channel)\n", "", _WAKEUPS),
        ("retire.lua", "redis.call('HDEL', base .. 'offers', ARGV[2])\n", "", _WAKEUPS),
        ("subscriber.py", "message is None or loop", "loop", _WAKEUPS),
        ("signing_up.py", "message.string[:most]", "message.string", _CONTRACT),
    ),
)


def _runtime(file: str, old: str, new: str) -> Mutation:
    return Mutation(f"asyncmqd/runtime/{file}", old, new, _RUNTIME)


def _assigned(old: str, new: str) -> Mutation:
    return _runtime("claiming/assigned_jobs.py", old, new)


ASSIGNING = [
    *_MEMORY,
    *_REDIS,
    Mutation(
        "asyncmqd/domain/job.py",
        "job.unique or job.key or",
        "job.key or",
        ("tests/contract/test_assigning.py", "-k", "memory"),
    ),
    Mutation(
        "asyncmqd/domain/job.py",
        " or job.delay > 0",
        "",
        ("tests/contract/test_delays.py", "-k", USUAL),
    ),
    _assigned("self._leases.may_be_over(since)", "False"),
    _assigned("if is_old and since > NEVER and", "if False and"),
    _assigned("                if may_wait:\n", "                if False:\n"),
    _assigned(
        "                    return\n                self.missed = True",
        "                    return",
    ),
    _assigned("elif not (is_ours and", "elif is_ours and not ("),
    _assigned("not self._leases.not_held([claim]) or self", "self"),
    _runtime("claiming/loop.py", "self.scanner.look_soon()  # one", "pass  # one"),
    _runtime("leases.py", "        self._note_suspension()\n", ""),
    _runtime("claiming/sign_ups.py", "(began == NEVER and ", "("),
    _runtime("claiming/sign_ups.py", "dict.fromkeys(self._began, NEVER)", "self._began"),
    _runtime(
        "process/wakeups.py", "in woken and not is_first", "in woken and self._duties.crashed"
    ),
    _runtime("claiming/sign_ups.py", "self._began.pop(assigned.sign_up, None)", "pass"),
    _runtime(
        "claiming/claim_decision.py",
        "LoopState.DRAINING: LoopState.LEAVING,",
        "LoopState.DRAINING: LoopState.LEFT,",
    ),
    _runtime(
        "claiming/claim_decision.py", "view.store_answers or _is_done(view)", "view.store_answers"
    ),
    _runtime("process/wakeups.py", "if ASSIGNED in woken and", "if False and"),
    _runtime(
        "process/wakeups.py",
        "        await self._backend.retire(queue)\n        for",
        "        for",
    ),
]
