"""What the units are, what systemd makes of them, and what their drop-ins change."""

from __future__ import annotations

import json
import re
from pathlib import Path

UNITS = ("asyncmqd.service", "asyncmqd@a.service")
SHIPPED = Path(__file__).parents[2] / "systemd"
MEDIA = "/srv/myapp/media"  # the directory of relaxed.conf
VENV = "/srv/myapp/.venv"  # the environment of venv.conf


def test_they_are_valid_and_expose_little(box, seen):
    box.run("systemd-analyze", "verify", "--man=no", *UNITS, "asyncmqd.target")
    for unit in UNITS:
        judged = box.run(
            "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", unit
        )
        (figure,) = re.findall(r"Overall exposure level for .*: ([\d.]+)", judged.stdout)
        seen(f"check 11: exposure of {unit} by systemd-analyze security: {figure} (limit 1.5)")


def liberties(daemon, id: str) -> dict[str, str]:
    daemon.store.add("mail", "liberties", [id], MEDIA)
    daemon.log.wait_for("job.completed", job_id=id)
    outcomes: dict[str, str] = json.loads(daemon.store.get("mail", id).result)
    return outcomes


def test_the_hardening_holds_and_a_drop_in_relaxes_it(service, box, seen):
    daemon = service()
    daemon.configure()
    box.path(MEDIA).mkdir(parents=True)
    box.run("chown", "asyncmqd", MEDIA)
    daemon.start()
    version = int(box.systemctl("--version").stdout.split()[1])
    strict = liberties(daemon, "strict")
    assert strict == {
        "write": "Read-only file system",
        "netlink": "Address family not supported by protocol",
        "nice": "Operation not permitted",
        "code": "Permission denied" if version >= 257 else "Operation not permitted",
        "home": "Permission denied",
    }
    daemon.drop_in("relaxed", (SHIPPED / "relaxed.conf").read_text())
    box.run("systemd-analyze", "verify", "--man=no", daemon.unit)
    box.systemctl("restart", daemon.unit)
    relaxed = liberties(daemon, "relaxed")
    assert relaxed == dict.fromkeys(strict, "done")
    seen(f"units: jobs of the hardened unit get {strict}; with relaxed.conf all of it is done")


def test_a_drop_in_runs_the_daemon_in_the_application_s_own_environment(service, box, seen):
    daemon = service()
    daemon.configure()
    box.run("/opt/python/bin/python3", "-m", "venv", "--without-pip", VENV)
    launcher = box.path("/usr/local/bin/asyncmqd").read_text()
    box.write(f"{VENV}/bin/asyncmqd", re.sub("^#!.*", f"#!{VENV}/bin/python", launcher), 0o755)
    daemon.drop_in("venv", (SHIPPED / "venv.conf").read_text())
    daemon.start()
    daemon.store.add("mail", "prefix", ["p"])
    daemon.log.wait_for("job.completed", job_id="p")
    prefix = json.loads(daemon.store.get("mail", "p").result)
    assert prefix == VENV
    daemon.reload()
    seen(f"units: with venv.conf jobs run in {prefix}, and reload works")
