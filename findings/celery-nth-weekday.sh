#!/usr/bin/env bash
# celery 5.7.0 and APScheduler 3.11.3 read `mon#2` as every Monday, without an error.
#
# In croniter, cronsim and Quartz `mon#2` is the second Monday of the month. celery keeps the first
# three letters of what is no number (`mond` and `monfoo` are Mondays, too), and APScheduler's
# from_crontab drops what follows the name: a monthly job runs weekly. With a number (`1#2`) both refuse
# the expression. APScheduler drops the end of `mon-5` in the same way.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    celery==5.7.0 APScheduler==3.11.3 croniter==7.0.0
"$folder/venv/bin/python" - <<'PYTHON'
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from apscheduler.triggers.cron import CronTrigger
from celery.schedules import crontab
from croniter import croniter

MARCH = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day) for day in range(31)]
MONDAYS = [2, 9, 16, 23, 30]


def by_celery(weekday):
    schedule = crontab(minute="0", hour="0", day_of_week=weekday)
    return [day.day for day in MARCH if day.isoweekday() % 7 in schedule.day_of_week]


def by_apscheduler(weekday):
    trigger = CronTrigger.from_crontab(f"0 0 * * {weekday}", timezone="UTC")
    return [day.day for day in MARCH if trigger.get_next_fire_time(None, day) == day]


def by_croniter(weekday):
    return [day.day for day in MARCH if croniter.match(f"0 0 * * {weekday}", day)]


print(*(f"{name} {version(name)}" for name in ("celery", "APScheduler", "croniter")))
for weekday in ("mon#2", "fri#1", "mon-5"):
    print(weekday, "celery", by_celery(weekday), "APScheduler", by_apscheduler(weekday),
          "croniter", by_croniter(weekday))
assert by_croniter("mon#2") == [9]
assert by_celery("mon#2") == MONDAYS, "celery: the behaviour has changed"
assert by_apscheduler("mon#2") == MONDAYS, "APScheduler: the behaviour has changed"
assert by_apscheduler("mon-5") == MONDAYS, "APScheduler: the behaviour has changed"
for read in (by_celery, by_apscheduler):
    try:
        read("1#2")
    except ValueError as error:
        print(f"1#2: {read.__name__}: {error}")
    else:
        raise AssertionError(f"{read.__name__}: the behaviour has changed")
PYTHON
