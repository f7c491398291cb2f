"""F55, F56: the control socket under people who mean no good."""

from __future__ import annotations

import array
import asyncio
import itertools
import os
import random
import resource
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from asyncmqd.daemon.control_client import NoDaemon, ask
from asyncmqd.daemon.control_protocol import HEADER, OPERATE, REQUEST_LIMIT
from asyncmqd.daemon.control_server import MOST_CLIENTS
from asyncmqd.daemon.shared_answers import SharedAnswers
from asyncmqd.daemon.socket_peers import Peers
from tests.daemon.harness import until
from tests.security.conftest import corpus, count

MAIL = "[queues.mail]\nconcurrency = 3\n"
FRAMES = count(short=300, full=50_000)
MEGABYTE = 1024 * 1024
COMMANDS = [b"ping", b"status", b"plan", b"shutdown", b"", b"\xff", b"reload\0"]


@pytest.fixture
def running(daemon):
    return daemon("memory://control", MAIL).start()


def _connect(running) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.connect(str(running.control))
    line.settimeout(10)
    return line


def _ends(line: socket.socket, data: bytes) -> None:
    """Send, and wait until the daemon has had enough."""
    try:
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        while line.recv(65_536):
            pass
    except (BrokenPipeError, ConnectionResetError):
        return


def frames(seed: int) -> Iterator[bytes]:
    """What a bug or a malicious hand sends, without end, always the same."""
    rng = random.Random(seed)
    known = list(corpus("frames").values())
    yield from known
    while True:
        body = b'{"command":"%b"}' % rng.choice(COMMANDS)
        for _ in range(rng.randint(0, 3)):
            at = rng.randrange(len(body) + 1)
            body = body[:at] + rng.randbytes(rng.randrange(3)) + body[at + rng.randrange(3) :]
        size = rng.choice([len(body)] * 4 + [0, len(body) - 1, len(body) + 1, REQUEST_LIMIT + 1])
        frame = HEADER.pack(max(0, size)) + body
        yield rng.choice([frame, frame * 3, frame[: rng.randrange(len(frame))], rng.randbytes(20)])


def _resident(running) -> int:
    return psutil.Process(running.pid).memory_info().rss


def _descriptors(running) -> int:
    return psutil.Process(running.pid).num_fds()


@pytest.mark.timeout(3_600)
def test_f55_frames_of_all_kinds(running, seen):
    until(running.answers)
    before, files = _resident(running), _descriptors(running)
    for _, data in zip(range(FRAMES), frames(seed=1), strict=False):
        with _connect(running) as line:
            _ends(line, data)
    assert running.answers()
    until(lambda: _descriptors(running) <= files)
    grown = (_resident(running) - before) / MEGABYTE
    assert grown < 10
    assert running.stderr == ""
    assert not running.all("daemon.failed")
    seen(f"F55 control socket, fuzzed frames: {FRAMES}, resident memory +{grown:.1f} MB (limit 10)")


def test_f55_a_line_of_a_gigabyte_is_not_read(running, seen):
    before = _resident(running)
    sent = 0
    with _connect(running) as line:
        line.sendall(HEADER.pack(2**30))
        try:
            while sent < 2**30:
                sent += line.send(b"x" * MEGABYTE)
        except (BrokenPipeError, ConnectionResetError):
            pass  # cut off, as it is to be; how soon is judged below
    assert sent < 8 * MEGABYTE
    assert (_resident(running) - before) / MEGABYTE < 10
    assert running.answers()
    seen(f"F55 control socket, a frame of 1 GB: cut off after {sent / MEGABYTE:.1f} MB")


def test_f55_a_thousand_idle_clients_keep_nobody_from_working(running, seen):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard > 1_200
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1_200), hard))
    before = _resident(running)
    held = [_connect(running) for _ in range(1_000)]
    assert running.cli("check").returncode == 0
    grown = (_resident(running) - before) / MEGABYTE
    for line in held:
        line.close()
    until(running.answers)
    assert grown < 10
    seen(f"F55 control socket, 1,000 idle clients: resident memory +{grown:.1f} MB (limit 10)")


def test_f55_whoever_does_not_take_the_answer_is_left_alone(running):
    body = b'{"command":"status"}'
    request = HEADER.pack(len(body)) + body
    for taken in (0, 1, 100):
        with _connect(running) as line:
            line.sendall(request * 200)
            line.recv(taken) if taken else None
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert running.answers()
    assert running.stderr == ""


def test_f55_descriptors_that_are_passed_along_do_not_stay(running):
    until(running.answers)
    files = _descriptors(running)
    body = b'{"command":"ping"}'
    passed = array.array("i", [0] * 50)
    with _connect(running) as line:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)]
        line.sendmsg([HEADER.pack(len(body)) + body], rights)
        assert line.recv(100).endswith(b'{"ok":true}')
        assert _descriptors(running) <= files + 1
    until(lambda: _descriptors(running) <= files)


# ---------------------------------------------------------------------- F56: who may ask

# Becomes another user by itself: that user may not even be allowed to start our Python.
ASK = """
import os, pathlib, sys
from asyncmqd.daemon.control_client import NoDaemon, ask
user, group, *groups = map(int, sys.argv[2:])
os.setgroups(groups), os.setgid(group), os.setuid(user)
for command in ("ping", "status", "plan", "reload"):
    try:
        reply = ask(pathlib.Path(sys.argv[1]), command)
        print(command, reply.ok, reply.error)
    except NoDaemon as error:
        print(command, None, error)
"""
OTHER = 12_345


def _asked(running, user: int, group: int, *groups: int) -> dict[str, str]:
    """What each command got for an answer when this user asked."""
    arguments = map(str, (running.control, user, group, *groups))
    command = [sys.executable, "-c", ASK, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = (line.split(" ", 2) for line in done.stdout.splitlines())
    return {name: f"{ok} {error}".strip() for name, ok, error in answers}


@pytest.fixture
def opened(daemon, place):
    """A daemon whose directory others may enter; its socket is of the group OTHER."""
    assert os.geteuid() == 0, "needs root, to be somebody else"
    place.chmod(0o2755)
    os.chown(place, 0, OTHER)

    def start(top: str = ""):
        running = daemon("memory://control", MAIL, top=top).start()
        found = running.control.stat()
        assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (OTHER, 0o660)
        return running

    return start


def test_f56_members_of_the_group_read_and_only_root_and_the_daemon_operate(opened):
    running = opened()
    refusal = (
        f"False user {OTHER} may not ask for reload: expected root or the daemon's user;"
        " its group if control_group is 'operate'"
    )
    allowed = {"ping": "True", "status": "True", "plan": "True", "reload": refusal}
    assert _asked(running, OTHER, OTHER) == allowed
    assert running.ask("status")["config"]["generation"] == 1
    assert running.cli("reload").returncode == 0
    assert {"reload"} == OPERATE


def test_f56_control_group_operate_lets_the_group_reload(opened):
    running = opened('control_group = "operate"\n')
    assert set(_asked(running, OTHER, OTHER).values()) == {"True"}


def test_f56_others_cannot_even_connect_and_are_refused_if_the_file_lets_them(opened):
    running = opened()
    denied = _asked(running, OTHER + 1, OTHER + 1)
    assert all(answer.startswith("None") for answer in denied.values())
    assert f"may not be asked by user {OTHER + 1}: expected root," in denied["ping"]
    running.control.chmod(0o666)
    refusal = f"False user {OTHER + 1} may not ask: expected root, the daemon's user or its group"
    assert set(_asked(running, OTHER + 1, OTHER + 1).values()) == {refusal}


def test_f56_a_member_who_hogs_the_socket_does_not_keep_others_out(opened):
    running = opened()
    held = []
    try:
        os.setegid(OTHER)
        os.seteuid(OTHER)  # the kernel notes who connects
        for _ in range(MOST_CLIENTS):
            held.append(_connect(running))
            held[-1].sendall(b"\x00")
    finally:
        os.seteuid(0)
        os.setegid(0)
    assert _asked(running, OTHER, OTHER)["ping"] == "True", "nor others who look like the same user"
    assert ask(running.control, "ping").ok
    for line in held:
        line.close()


# Listens like a daemon and answers like one, as a user of its own.
SQUAT = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
user, path = int(sys.argv[2]), sys.argv[1]
os.setgroups([]), os.setgid(user), os.setuid(user)
listener.bind(path)
os.chmod(path, 0o666)
listener.listen()
print("listening", flush=True)
while True:
    line, _ = listener.accept()
    try:
        line.recv(1000), line.sendall(b"\\0\\0\\0\\x0b{\\"ok\\":true}")
    except OSError:
        pass
"""


@pytest.fixture
def spawned():
    """Programs in Python that say a line when they are ready, and are ended after the test."""
    running = []

    def start(code, *arguments):
        command = [sys.executable, "-c", code, *arguments]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert running[-1].stdout.readline()

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def squatter(place, spawned):
    """Somebody else who listens in a directory of their own; where."""
    place.chmod(0o755)

    def start(directory):
        directory.mkdir()
        os.chown(directory, OTHER, OTHER)
        path = directory / "control.sock"
        spawned(SQUAT, str(path), str(OTHER))
        return path

    return start


def test_a_stranger_who_listens_where_everybody_can_is_not_believed(place, squatter):
    (place / "tmp").mkdir(mode=0o1777)
    (place / "tmp").chmod(0o1777)
    path = squatter(place / "tmp" / "asyncmqd-0")
    with pytest.raises(NoDaemon, match=f"expected a daemon of user 0, got one of user {OTHER}"):
        ask(path, "ping")


def test_a_link_of_a_stranger_to_where_nobody_else_can_make_one_is_none_either(place, squatter):
    """The directory that it leads to is the stranger's, and the one above not for everybody."""
    assert os.geteuid() == 0, "needs root, to give a link away"
    (place / "tmp").mkdir()
    (place / "tmp").chmod(0o1777)
    path = squatter(place / "home")
    link = place / "tmp" / "asyncmqd-0"
    link.symlink_to(path.parent)
    os.lchown(link, OTHER, OTHER)
    with pytest.raises(NoDaemon, match=f"expected a daemon of user 0, got one of user {OTHER}"):
        ask(link / "control.sock", "ping")


def test_the_owner_of_a_directory_that_only_root_can_make_is_believed(squatter, place):
    assert ask(squatter(place / "asyncmqd"), "ping").ok


def test_many_who_ask_for_the_same_share_an_answer():
    """Each answer was made anew: 32 plans kept the jobs waiting."""

    async def play() -> tuple[list[int], int]:
        made = itertools.count(1)

        async def work() -> int:
            number = next(made)
            await asyncio.sleep(0)
            return number

        answers = SharedAnswers()
        first = asyncio.create_task(answers.get("plan", work))
        await asyncio.sleep(0)
        later = [asyncio.create_task(answers.get("plan", work)) for _ in range(31)]
        return await asyncio.gather(first, *later), next(made) - 1

    got, made = asyncio.run(play())
    assert made == 2
    assert got == [1, *[2] * 31], "whoever came later is told of what was so when it came"


def test_a_group_that_the_namespace_does_not_know_is_nobody_s(place):
    """All groups that it lacks look like one: everybody would have been a member."""
    found = "Peers(65534, group_operates=True).warning"
    code = f"from asyncmqd.daemon.socket_peers import Peers; print({found})"
    alone = ["unshare", "--user", "--map-root-user", sys.executable, "-c", code]
    done = subprocess.run(alone, capture_output=True, text=True)
    assert "no group is let in" in done.stdout, done.stderr
    assert Peers(65_534, group_operates=True).warning == "", "here it is a group like any other"
