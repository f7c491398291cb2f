"""Bugs in the scripts of the Redis store."""

from __future__ import annotations

from tests.mutations.mutation import mutations
from tests.servers import USUAL

REDIS = mutations(
    "redis/",
    USUAL,
    (
        (
            "_large.lua",
            "redis.call('SETNX', key, string)",
            "redis.call('SET', key, string) and 1",
            "adding",
        ),
        ("_add.lua", "local fresh = not twice and ", "local fresh = ", "adding"),
        (
            "_judge.lua",
            "elseif (run and run[TOKEN] or 0) ~= change.token then",
            "elseif false then",
            "fencing",
        ),
        (
            "_judge.lua",
            "elseif not place or not change.kind.sources[place] then",
            "elseif not place then",
            "fencing",
        ),
        (
            "_judge.lua",
            "return change.kind.lapsed and tonumber(score) > now and 2 or 0",
            "return 0",
            "leases",
        ),
        ("_write.lua", "    run[TOKEN] = run[TOKEN] + 1\n", "", "fencing"),
        (
            "_write.lua",
            "enter('expiry', moment + kept, id)",
            "enter('expiry', moment, id)",
            "retention",
        ),
        (
            "_write.lua",
            "if name ~= 'progress' then",
            "if name == 'progress' then",
            "retention",
        ),
        (
            "_take.lua",
            "run[TOKEN], run[ORDER] = run[TOKEN] + 1, ",
            "run[TOKEN], run[ORDER] = run[TOKEN], ",
            "claiming fencing",
        ),
        ("_take.lua", "local popped = paused and {} or ", "local popped = ", "administration"),
        ("pause.lua", " .. ARGV[2]", "", "administration model"),
        ("_take.lua", "'ZPOPMIN'", "'ZPOPMAX'", "claiming"),
        (
            "_take.lua",
            "if redis.call('EXISTS', base .. ARGV[1]) == 1 then",
            "if false then",
            "waking",
        ),
        ("_take.lua", "now + lease + at, popped[at]", "now + at, popped[at]", "leases"),
        ("move_due.lua", "'-inf', clock(), 'LIMIT'", "'-inf', '+inf', 'LIMIT'", "delays"),
        (
            "extend.lua",
            "and run and run[TOKEN] == tonumber(ARGV[2 * number + 2])",
            "and run",
            "leases",
        ),
        ("extend.lua", "local held = where[number] and", "local held = true and", "leases fencing"),
        ("_delete.lua", "  redis.call('DECRBY', base .. 'bytes', bytes)\n", "", "retention"),
        ("_delete.lua", "      leave('counted', id)\n", "", "retention administration"),
        (
            "_delete.lua",
            "  redis.call('HDEL', base .. 'runs', unpack(ids))\n",
            "",
            "administration fencing",
        ),
        (
            "prune.lua",
            "redis.call('ZCARD', base .. 'counted') - ARGV[2]",
            "redis.call('ZCARD', base .. 'counted') - ARGV[2] - 1",
            "retention",
        ),
        (
            "fire.lua",
            "tonumber(known[1]) >= tonumber(instant)",
            "tonumber(known[1]) > tonumber(instant)",
            "schedules",
        ),
        ("fire.lua", "or known[2] or", "or", "schedules"),
        ("fire.lua", "if last_is_live() then", "if false then", "schedules"),
        ("fire.lua", "tonumber(counted) ~= tonumber(known[1])", "false", "schedules"),
        ("_lines.lua", "return priority * 2 ^ 44 + ", "return ", "delays administration"),
        (
            "_change.lua",
            "    score = run[ORDER]\n",
            "    score = tail(change.id)\n",
            "leases delays parking",
        ),
        ("_change.lua", "    bytes = bytes - run[SIZE]\n", "", "retention"),
        (
            "_change.lua",
            "'job:' .. id, 0, string.format('%016d', now)",
            "'job:' .. id, 0, ''",
            "leases",
        ),
        ("turn.lua", "  tell(ended)\n", "", "endings"),
        ("_delete.lua", "  tell(live)\n", "", "endings model"),
        ("_tell.lua", "if heard == 0 then", "if heard ~= 0 then", "endings"),
        ("hear.lua", "with_parked({})", "{}", "endings"),
        ("endings.py", "queue not in self._told or ", "", "endings"),
        (
            "sentinel.py",
            "            self._settled.clear()\n",
            "",
            "tests/unit/test_redis_sentinel.py",
        ),
        ("unpark.lua", "local last = page - moved - 1", "local last = -1", "parking"),
        (
            "beat.lua",
            "<= now then",
            "< 0 then",
            "tests/unit/test_redis_faults.py::test_silent_processes_leave_nothing_in_the_store",
        ),
        (
            "_queue.lua",
            "if found and found ~= LAYOUT then",
            "if false then",
            "tests/stores/test_migrating.py::test_redis_is_migrated_by_the_command",
        ),
    ),
)
