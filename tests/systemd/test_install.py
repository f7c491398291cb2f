"""`make install` as an administrator does it: install, start, upgrade under load, remove."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.harness import until
from tests.packaging.conftest import copy_source
from tests.systemd.box import Box
from tests.systemd.conftest import APPLICATION, APPLICATION_HERE, INSTALL, OFFLINE, bare_box

SOURCE = "/srv/checkout"
MAKE = ("make", "-C", SOURCE, *INSTALL[4:], OFFLINE)


@pytest.fixture
def checkout(tree: Path, place: Path) -> Path:
    """A copy of the source, to make another version of."""
    return copy_source(place / "checkout")


@pytest.fixture
def box(checkout: Path, place: Path) -> Iterator[Box]:
    """A booted systemd without asyncmqd."""
    for name in ("box", "asyncmqd"):
        (place / name).mkdir()
    shown = {
        SOURCE: checkout,
        APPLICATION: APPLICATION_HERE,
        "/var/lib/asyncmqd": place / "asyncmqd",
    }
    with bare_box(place / "box", shown) as booted:
        yield booted


def bump(checkout: Path, version: str) -> None:
    for name in ("pyproject.toml", "asyncmqd/__init__.py"):
        path = checkout / name
        path.write_text(
            re.sub(r'ersion(_*) = "[^"]+"', rf'ersion\1 = "{version}"', path.read_text())
        )


def facts(box: Box) -> dict[str, object]:
    """What sysusers and tmpfiles make."""
    accounts = [box.run("getent", kind, "asyncmqd").stdout for kind in ("passwd", "group")]
    paths = {path: box.path(path).stat() for path in ("/etc/asyncmq", "/etc/asyncmq/queues.toml")}
    owners = {path: (s.st_mode, s.st_uid, s.st_gid) for path, s in paths.items()}
    return {"accounts": accounts, "owners": owners}


@pytest.mark.full
@pytest.mark.timeout(900)  # it is installed three times; a loaded machine took 300
def test_install_start_upgrade_remove(box, checkout, service, seen):
    said = box.run(*MAKE, "install").stdout
    assert "systemctl enable --now asyncmqd.service" in said
    made = facts(box)
    for _ in range(2):
        box.run("systemd-sysusers")
        box.run("systemd-tmpfiles", "--create", "asyncmqd.conf")
    assert facts(box) == made
    seen("check 13: sysusers.d and tmpfiles.d applied twice more: nothing changes")

    daemon = service()
    assert daemon.start().returncode == 0  # with the sample configuration as it is
    # How long a daemon drains is what it was started with.
    daemon.drop_in("drain", "[Service]\nEnvironment=ASYNCMQD_SHUTDOWN_TIMEOUT=0.1\n")
    daemon.configure("[queues.mail]\n# edited\n")
    edited = box.path(daemon.config).read_text()
    box.systemctl("restart", daemon.unit)
    first = daemon.pid
    daemon.store.add("mail", "hold", ["running"])
    until(lambda: daemon.lines("began"))

    bump(checkout, "0.9.9")
    assert "systemctl restart asyncmqd.service" in box.run(*MAKE, "install").stdout
    assert box.path(daemon.config).read_text() == edited
    daemon.store.add("mail", "child_environment", ["child"])  # of the code that the daemon has
    daemon.log.wait_for("job.completed", job_id="child")
    before = daemon.status()
    assert (before["pid"], before["queues"]["mail"]["running"]) == (first, 1)

    box.systemctl("restart", daemon.unit)
    daemon.open_gate()
    daemon.log.wait_for("job.completed", job_id="running")
    after = daemon.status()
    assert [before["version"], after["version"]] == ["0.1.0", "0.9.9"]
    seen(
        f"check 13: make install over a running daemon: {before['version']} goes on with its job"
        f" and its children; after a restart {after['version']}, the same configuration and jobs"
    )

    assert box.run(*MAKE, "uninstall", check=False).returncode != 0  # it runs
    daemon.stop()
    box.run(*MAKE, "uninstall")
    left = box.run("find", "/usr/local", "-name", "*asyncmq*").stdout
    assert left == ""
    assert box.path(daemon.config).read_text() == edited
    assert box.path("/var/lib/asyncmqd/jobs.db").exists()
    seen("check 13: make uninstall: refused while it ran; then configuration and jobs are left")
