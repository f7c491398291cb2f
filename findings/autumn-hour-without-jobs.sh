#!/usr/bin/env bash
# celery 5.7.0, arq 0.28.0, rq 3.0.0 and crontab 1.0.5 run nothing for an hour when clocks go back.
#
# A job of each 20 minutes, on New York's clock: after 01:40 EDT the next run is at 02:00 EST, 80 minutes
# later. The hour between, 01:00 to 02:00 EST, has no run at all. All four count on the wall clock, which
# shows 01:xx twice, and take the second for past. So does streaq 7.2.0, whose schedules call crontab as is
# done here. croniter and cronsim, if they are given the zone, do not lose the hour; rq gives croniter none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    celery==5.7.0 arq==0.28.0 rq==3.0.0 crontab==1.0.5 croniter==7.0.0 cronsim==2.8
TZ=America/New_York "$folder/venv/bin/python" - <<'PYTHON'
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from zoneinfo import ZoneInfo

from arq.cron import next_cron
from celery import Celery
from celery.schedules import crontab
from croniter import croniter
from cronsim import CronSim
from crontab import CronTab
from rq.cron import CronJob

ZONE = ZoneInfo("America/New_York")
START = datetime(2026, 11, 1, 4, 50, tzinfo=UTC)  # 00:50 EDT; the clock goes back at 06:00 UTC
END = datetime(2026, 11, 1, 7, 30, tzinfo=UTC)
EXPRESSION = "*/20 * * * *"
LOST = {"06:00", "06:20", "06:40"}


def by_celery():
    app = Celery(set_as_current=False)
    app.conf.timezone = ZONE.key
    now = START
    schedule = crontab(minute="*/20", nowfun=lambda: now.astimezone(ZONE), app=app)
    last = schedule.nowfun()
    while now < END:
        now += timedelta(minutes=1)
        if schedule.is_due(last).is_due:
            last = schedule.nowfun()
            yield now


def by_rq(moment):
    job = CronJob("reports", func_name="reports.make", cron=EXPRESSION)
    job.latest_enqueue_time = moment
    return job.get_next_enqueue_time()


def chained(following):
    def times():
        moment = START.astimezone(ZONE)
        while (moment := following(moment)) < END.astimezone(UTC):
            yield moment

    return times


READERS = {
    "celery": by_celery,
    "arq": chained(lambda moment: next_cron(moment, minute={0, 20, 40}, second=0, microsecond=0)),
    "rq": chained(by_rq),  # which goes by TZ
    "crontab": chained(lambda moment: CronTab(EXPRESSION).next(now=moment, return_datetime=True)),
    "croniter": chained(lambda moment: croniter(EXPRESSION, moment).get_next(datetime)),
    "cronsim": chained(lambda moment: next(CronSim(EXPRESSION, moment))),
}
for name, times in READERS.items():
    seen = [moment.astimezone(UTC).strftime("%H:%M") for moment in times()]
    print(f"{name} {version(name)}, UTC:", *seen)
    assert {"05:40", "07:00", "07:20"} <= set(seen)
    if name in ("croniter", "cronsim"):
        assert LOST <= set(seen)
    else:
        assert not LOST & set(seen), f"{name}: the behaviour has changed"
PYTHON
