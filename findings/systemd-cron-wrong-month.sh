#!/usr/bin/env bash
# systemd-cron 1.15.19-5 of Debian 12 turns crontab lines into timers of other days and months.
#
# Its list of months lacks October: jobs of `dec` run in November and jobs of `nov` in October, while `oct`
# is called garbled and has no timer. A weekday field that it calls garbled, as `5-7`, counts for nothing,
# and the job runs each day. The two day fields are joined by "and", though its crontab(5) says "either":
# `0 0 13 * 5` waits for a Friday the 13th. Here its generator reads one crontab of its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && apt-get -qq -o APT::Sandbox::User=root download systemd-cron=1.15.19-5)
dpkg -x "$folder"/systemd-cron_*.deb "$folder/package"
cat >"$folder/crontab" <<'CRONTAB'
0 0 1 sep * root /bin/true september
0 0 1 oct * root /bin/true october
0 0 1 nov * root /bin/true november
0 0 1 dec * root /bin/true december
0 0 * * 5 root /bin/true friday
0 0 * * 5-7 root /bin/true weekend
0 0 13 * 5 root /bin/true thirteenth
CRONTAB
python3 -W ignore - "$folder" <<'PYTHON'
import pathlib
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType

folder = pathlib.Path(sys.argv[1])
timers = folder / "timers"
(timers / "cron.target.wants").mkdir(parents=True)
sys.argv = ["systemd-crontab-generator", str(timers)]
program = folder / "package/lib/systemd/system-generators/systemd-crontab-generator"
generator = ModuleType("generator")
exec(SourceFileLoader("generator", str(program)).get_code("generator"), vars(generator))
generator.TARGET_DIR = str(timers)
generator.TIMERS_DIR = str(timers / "cron.target.wants")

EXPECTED = {
    "september": "*-9-1 0:0:00",
    "october": None,
    "november": "*-10-1 0:0:00",
    "december": "*-11-1 0:0:00",
    "friday": "Fri *-*-* 0:0:00",
    "weekend": " *-*-* 0:0:00",
    "thirteenth": "Fri *-*-13 0:0:00",
}
for number, job in enumerate(generator.parse_crontab(str(folder / "crontab"))):
    name = generator.generate_timer_unit(job, seq=iter([number]))
    lines = (timers / name).read_text().splitlines() if name else []
    calendar = next((line.partition("=")[2] for line in lines if line.startswith("OnCalendar=")), None)
    print(f"{job['l']}: OnCalendar={calendar}")
    assert calendar == EXPECTED[job["c"].split()[-1]], "the behaviour has changed"
PYTHON
