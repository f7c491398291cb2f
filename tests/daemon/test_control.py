"""The control socket: who may ask, and what becomes of those who ask for nonsense."""

from __future__ import annotations

import os
import socket
import stat
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from asyncmqd.daemon.control_client import ask
from asyncmqd.daemon.control_protocol import REQUEST_LIMIT
from asyncmqd.daemon.control_server import MOST_CLIENTS

MAIL = "[queues.mail]\nconcurrency = 3\nrate_limit = 5\n"


@pytest.fixture
def running(daemon):
    return daemon("memory://control", MAIL).start()


def _connect(running) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(10)
    line.connect(str(running.control))
    return line


def _answer(line: socket.socket) -> bytes:
    with line.makefile("rb") as stream:
        return stream.read()


def test_the_socket_is_for_owner_and_group_only(running):
    mode = running.control.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660
    assert running.stop() == 0
    assert not running.control.exists()


def test_status_tells_what_runs(running):
    status = running.ask("status")
    assert status["pid"] == running.pid
    assert status["phase"] == "ready"
    assert status["config"]["generation"] == 1
    assert status["store"] == {"url": "memory://control", "healthy": True, "error": ""}
    queue = status["queues"]["mail"]
    assert (queue["concurrency"], queue["rate_limit"], queue["running"]) == (3, 5, 0)
    assert queue["jobs"]["waiting"] == 0
    shown = running.cli("status")
    assert shown.returncode == 0
    assert f"ready, pid {running.pid}" in shown.stdout
    assert "mail   0/3      5" in shown.stdout
    assert running.cli("status", "--json").stdout.startswith("{")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x00\x00\x05hello",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff\xff\xff\xff",
        struct.pack("!I", REQUEST_LIMIT + 1),
        b'\x00\x00\x00\x15{"command": "destroy"}'[:25],
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x02\xff\xfe",
        b"\x00\x00\x00\x00",
        b"\x00",
        b"",
    ],
)
def test_garbage_gets_an_answer_or_the_door(running, garbage):
    with _connect(running) as line:
        line.sendall(garbage)
        line.shutdown(socket.SHUT_WR)
        answer = _answer(line)
    assert not answer or b'"ok":false' in answer
    assert running.answers()
    assert running.stderr == ""


def test_who_says_nothing_is_shown_the_door(running):
    with _connect(running) as silent, _connect(running) as slow:
        slow.sendall(b"\x00\x00")
        assert _answer(silent) == _answer(slow) == b""


def test_clients_that_ask_for_nothing_make_room_for_others(running):
    """The oldest goes: whoever has just come is about to ask."""
    held = [_connect(running) for _ in range(MOST_CLIENTS)]
    for line in held:
        line.sendall(b"\x00")
    assert ask(running.control, "ping").ok
    assert held[0].recv(1) == b"", "cut off"
    held[-1].settimeout(0)
    with pytest.raises(BlockingIOError):
        held[-1].recv(1)
    for line in held:
        line.close()


def test_many_who_ask_at_once_are_all_answered(running):
    """They share one call to the store, and some come just as it ends."""
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: running.ask("status"), range(200)))
    assert all(answer["queues"]["mail"]["jobs"] for answer in answers)


def test_several_requests_on_one_connection(running):
    request = b'{"command":"ping"}'
    frame = struct.pack("!I", len(request)) + request
    with _connect(running) as line:
        line.sendall(frame * 3)
        line.shutdown(socket.SHUT_WR)
        assert _answer(line) == (struct.pack("!I", 11) + b'{"ok":true}') * 3


# Becomes another user by itself: that user may not even be allowed to start our Python.
ASK = """
import os, pathlib, sys
from asyncmqd.daemon.control_client import ask
user, group, *groups = map(int, sys.argv[2:])
os.setgroups(groups), os.setgid(group), os.setuid(user)
print(ask(pathlib.Path(sys.argv[1]), "ping").error)
"""


def test_other_users_may_not_ask_even_if_the_file_lets_them(running):
    """Somebody opened the socket to all: the daemon still looks at who is there."""
    assert os.geteuid() == 0, "needs root, to be somebody else"
    running.control.chmod(0o666)
    running.place.chmod(0o755)

    def asked(user: int, group: int, *groups: int) -> str:
        command = [sys.executable, "-c", ASK, running.control, user, group, *groups]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    refusal = "user 12345 may not ask: expected root, the daemon's user or its group"
    group = running.control.stat().st_gid
    assert asked(12345, 12345) == refusal
    assert asked(12345, group) == ""
    assert asked(12345, 12345, group) == ""


def test_a_socket_left_by_a_killed_daemon_is_replaced(running):
    running.kill()
    assert running.control.exists()
    assert not running.answers()
    running.start()
    assert running.answers()


def test_a_socket_that_a_cleaner_of_old_files_deletes_is_made_anew(running, place):
    running.control.unlink()
    for lock in place.glob("*.lock"):
        lock.unlink()
    warning = f"control_socket: {running.control} was deleted by somebody; the daemon made it again"
    running.wait_for("daemon.warning", warning=warning)
    assert stat.S_IMODE(running.control.stat().st_mode) == 0o660
    assert running.cli("status").returncode == 0
    assert running.cli("run").returncode == 1  # though the lock is gone, there is one only
    assert running.stop() == 0
    assert not running.control.exists()


@pytest.mark.mounts
def test_without_proc_nobody_can_be_told_from_others(daemon):
    assert os.geteuid() == 0, "needs root, to hide /proc"
    hidden = f'mount -t tmpfs none /proc; exec {sys.executable} -m asyncmqd "$@"'
    d = daemon("memory://control", MAIL, command=("unshare", "-m", "sh", "-c", hidden, "sh"))
    d.start(ready=False)
    assert d.wait() == 1
    (failed,) = d.all("daemon.failed")
    assert failed["error"] == "expected to read /proc/self/uid_map, got No such file or directory"
    assert not d.control.exists()


def test_nothing_else_is_ever_replaced(daemon):
    d = daemon("memory://control", MAIL)
    d.control.write_text("precious")
    d.start(ready=False)
    assert d.wait() == 1
    assert d.control.read_text() == "precious"
    (failed,) = d.all("daemon.failed")
    assert failed["error"] == (
        f"control_socket: expected a free path, got {d.control}, which is taken"
    )


def test_a_socket_that_somebody_serves_is_not_taken_away(daemon):
    d = daemon("memory://control", MAIL)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(d.control))
        other.listen()
        d.start(ready=False)
        assert d.wait() == 1
    assert "somebody listens there" in d.all("daemon.failed")[0]["error"]


def test_a_directory_of_somebody_else_is_refused(daemon, place):
    assert os.geteuid() == 0, "needs root, to give a directory away"
    foreign = place / "foreign"
    foreign.mkdir()
    os.chown(foreign, 12345, -1)
    d = daemon("memory://control", MAIL)
    d.config.write_text(d.config.read_text().replace(str(d.control), f"{foreign}/d.sock"))
    d.start(ready=False)
    assert d.wait() == 1
    assert "of user 12345" in d.stderr
