"""What a second member of the group, a stranger and root meet under the shipped unit.

The table of docs/reliability/security.md says what was tried beside that.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.daemon.harness import until
from tests.systemd.box import Box
from tests.systemd.conftest import PYTHON

PEOPLE = """\
u app - "a member" /srv
m app asyncmqd
u second - "another member" /srv
m second asyncmqd
u stranger - "no member" /srv
"""
HOLD = """\
import socket, sys
held = []
for _ in range(64):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""
MODULES = ("ctypes", "signal", "socket", "asyncio", "msgspec", "asyncmqd")


@pytest.fixture
def people(box: Box) -> None:
    """Two members of the group, and somebody who is none."""
    box.run("systemd-sysusers", "-", input=PEOPLE)


def as_user(name: str, *command: str) -> tuple[str, ...]:
    return ("runuser", "-u", name, "--", *command)


@contextmanager
def held(box: Box, user: str, socket: str) -> Iterator[subprocess.Popen[str]]:
    """Somebody connects more often than one user may, and asks for nothing."""
    command = as_user(user, f"{PYTHON}/bin/python3", "-c", HOLD, socket)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with box.popen(*command, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_member_who_holds_all_places_keeps_no_other_from_asking(service, box, people, seen):
    """Under PrivateUsers= both are user 65534 to the daemon."""
    daemon = service()
    daemon.configure()
    daemon.start()
    assert daemon.show("PrivateUsers") == {"PrivateUsers": "yes"}
    control = f"ASYNCMQD_CONTROL_SOCKET={daemon.runtime}/control.sock"

    def asked(user: str, command: str = "status") -> subprocess.CompletedProcess[str]:
        asyncmqd = ("env", control, "asyncmqd", command, "--config", daemon.config)
        return box.run(*as_user(user, *asyncmqd), check=False)

    with held(box, "app", f"{daemon.runtime}/control.sock"):
        for user in ("second", "app", "root"):
            assert asked(user).returncode == 0, asked(user).stderr
        assert asked("second", "plan").returncode == 0
        refused = asked("second", "reload")
        assert (refused.returncode, "may not ask for reload" in refused.stderr) == (1, True)
        assert asked("root", "reload").returncode == 0
        stranger = asked("stranger")
        assert (stranger.returncode, "may not be asked by user" in stranger.stderr) == (1, True)
    seen("access: with 64 idle connections of a member another one, root and the first ask on")


def test_what_a_member_plants_is_not_run_by_the_unit(service, box, people, seen):
    daemon = service()
    daemon.configure(top="processes = 2\n")
    planted = "".join(
        f'echo \'open("{daemon.state}/planted", "a").write("{name} ")\' > {name}.py;'
        for name in MODULES
    )
    daemon.start()
    box.run(*as_user("app", "sh", "-c", f"cd {daemon.state}; {planted}"))
    box.systemctl("restart", daemon.unit)
    daemon.log.wait_for("daemon.ready", count=2)
    daemon.store.add("mail", "child_environment", ["child"])
    daemon.log.wait_for("job.completed", job_id="child")
    assert "PYTHONSAFEPATH" in json.loads(daemon.store.get("mail", "child").result)
    assert not box.path(f"{daemon.state}/planted").exists()
    assert box.run("readlink", f"/proc/{daemon.pid}/cwd").stdout == "/\n"
    seen("access: modules that a member planted in the state directory are not imported")


def test_what_a_member_plants_beside_the_store_leads_neither_the_unit_nor_root(
    service, box, people, seen
):
    daemon = service()
    daemon.configure()
    daemon.start()
    daemon.stop()
    box.run("sh", "-c", "mkdir /srv/precious; echo precious > /srv/precious/letter")
    box.run("chown", "-R", "asyncmqd:", "/srv/precious")
    enqueue = ("asyncmq", "--config", daemon.config, "enqueue", "mark", "--queue", "mail")

    def plant(*command: str) -> None:
        box.run(*as_user("app", "sh", "-c", f"cd {daemon.state}; {' '.join(command)}"))

    plant("rm -rf jobs.db-wake; ln -s /srv/precious jobs.db-wake")
    box.run(*enqueue)
    daemon.start()
    until(daemon.lines)
    daemon.stop()
    for beside, said in (
        ("jobs.db-journal", "got a link or another kind"),
        ("jobs.db-wal", "got a link or another kind"),
    ):
        plant(f"ln -sf /srv/precious/letter {beside}")  # a stop at the start leaves its log
        refused = box.run(*enqueue, check=False)
        assert (refused.returncode, said in refused.stderr) == (1, True), refused.stderr
        assert daemon.start(check=False).returncode == 1
        daemon.box.systemctl("stop", daemon.unit)
        plant(f"rm {beside}")
    plant("printf '%512s\\331\\325\\005\\371\\040\\241\\143\\327' > jobs.db-journal")
    refused = box.run(*enqueue, check=False)
    assert "names another file, which SQLite would delete" in refused.stderr
    listed = box.run("sh", "-c", "ls -A /srv/precious; cat /srv/precious/letter").stdout
    assert listed == "letter\nprecious\n"
    seen("access: links and a journal beside the store lead neither the unit nor root's asyncmq")


CLOSED = {  # to members of the group as well
    "the configuration": "echo >> /etc/asyncmq/queues.toml",
    "drop-ins": "mkdir /etc/asyncmq/queues.d",
    "the installed code": "touch /usr/local/lib/asyncmqd/x",
    "the control socket's directory": "touch /run/asyncmqd/x",
    "the control socket": "rm /run/asyncmqd/control.sock",
    "the lock": "cat /run/asyncmqd/*.lock",
    "the credential": "cat /run/credentials/asyncmqd.service/backend_url",
    "the environment": "cat /proc/$PID/environ",
    "the memory": "head -c 0 /proc/$PID/mem",
    "the descriptors": "ls /proc/$PID/fd/",
    "the process": "kill -0 $PID",
    "the unit": "touch /etc/systemd/system/asyncmqd.service.d/x.conf",
    "its log": "journalctl -u asyncmqd.service -n 1 --quiet --no-pager | grep .",
    "its private /tmp": "ls /tmp/systemd-private-*",
}
CLOSED_TO_STRANGERS = {
    "the configuration, to read": "cat /etc/asyncmq/queues.toml",
    "the state directory": "ls /var/lib/asyncmqd",
    "the store": "cat /var/lib/asyncmqd/jobs.db",
    "the runtime directory": "ls /run/asyncmqd",
}

OPEN_TO_ROOT = CLOSED_TO_STRANGERS | CLOSED  # which shows that they lead there


def test_what_is_closed_to_members_and_to_strangers(
    service: Callable, box: Box, people: None, seen: Callable
) -> None:
    daemon = service()
    box.write("/etc/credstore/asyncmqd.backend_url", daemon.backend, 0o600)
    daemon.configure()
    daemon.start()
    tried = {"app": CLOSED, "stranger": CLOSED | CLOSED_TO_STRANGERS, "root": OPEN_TO_ROOT}
    got_in = {user: set[str]() for user in tried}
    for user, ways in tried.items():
        for what, command in ways.items():
            shell = as_user(user, "env", f"PID={daemon.pid}", "sh", "-c", command)
            if box.run(*shell, check=False).returncode == 0:
                got_in[user].add(what)
    assert (got_in["app"], got_in["stranger"]) == (set(), set())
    assert set(OPEN_TO_ROOT) - got_in["root"] == set()
    seen(f"access: {len(CLOSED)} ways are closed to members, {len(tried['stranger'])} to others")
