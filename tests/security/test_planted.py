"""F60: what somebody put in the place of our files before us is refused, and is left as it was."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncmqd.backends.base import StoreRefused
from asyncmqd.backends.factory import open_backend
from asyncmqd.daemon.instance_lock import CannotStart, Instance, instance_id
from tests.daemon.harness import Store

OTHER = 12_345


@pytest.fixture
def state(place) -> Path:
    """A state directory in which a group may write, as the unit makes it."""
    assert os.geteuid() == 0, "needs root, to be somebody else"
    place.chmod(0o755)
    directory = place / "state"
    directory.mkdir()
    os.chown(directory, 0, OTHER)
    directory.chmod(0o2770)
    return directory


@contextmanager
def member_of_the_group() -> Iterator[None]:
    """Be another user meanwhile."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(OTHER)
    os.seteuid(OTHER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def _open(path: Path) -> None:
    async def connect() -> None:
        backend = open_backend(f"sqlite://{path}")
        try:
            await backend.connect()
        finally:
            await backend.close()

    asyncio.run(connect())


def test_who_may_not_use_the_store_is_told_who_may(place):
    path = place / "jobs.db"
    place.chmod(0o755)
    _open(path)
    daemon = pwd.getpwnam("daemon")
    for owner, group, who in ((0, 0, "root"), (daemon.pw_uid, daemon.pw_gid, "user daemon, group")):
        os.chown(path, owner, group)
        path.chmod(0o660)
        with member_of_the_group(), pytest.raises(StoreRefused) as refused:
            _open(path)
        assert f"as user {OTHER}, got no permission (it is for root" in str(refused.value)
        assert who in str(refused.value)


@pytest.mark.parametrize("target", ["absent", "empty", "full"])
def test_f60_a_link_in_place_of_the_store(state, place, target):
    """Root's own command would have made, or given away, a file anywhere."""
    victim = place / "victim"
    if target != "absent":
        victim.write_text("precious" if target == "full" else "")
    before = victim.stat() if victim.exists() else None
    with member_of_the_group():
        (state / "jobs.db").symlink_to(victim)
    with pytest.raises(StoreRefused, match=f"expected a file, got a link of user {OTHER}"):
        _open(state / "jobs.db")
    assert (victim.stat() if victim.exists() else None) == before


def test_f60_a_link_in_place_of_a_directory_on_the_way_to_the_store(state, place):
    """It led root to make a store, and its directory of wake-ups, elsewhere."""
    (place / "elsewhere").mkdir()
    with member_of_the_group():
        (state / "mail").symlink_to(place / "elsewhere")
    with pytest.raises(StoreRefused, match=f"expected a directory, got a link of user {OTHER}"):
        _open(state / "mail" / "jobs.db")
    assert list((place / "elsewhere").iterdir()) == []


def test_f60_a_link_of_whoever_owns_its_directory_is_followed_but_not_by_root(place):
    """As a deployment makes `current`, for a daemon of another user."""
    place.chmod(0o755)
    (place / "release").mkdir()
    (place / "release").chmod(0o777)
    os.chown(place, OTHER + 1, OTHER)
    (place / "current").symlink_to(place / "release")
    os.lchown(place / "current", OTHER + 1, OTHER)
    with member_of_the_group():
        _open(place / "current" / "jobs.db")
    with pytest.raises(StoreRefused, match=f"expected a directory, got a link of user {OTHER + 1}"):
        _open(place / "current" / "jobs.db")


def test_f60_a_link_of_the_administrator_is_followed(state, place):
    (state / "jobs.db").symlink_to(place / "elsewhere.db")
    _open(state / "jobs.db")
    assert (place / "elsewhere.db").stat().st_size > 0


def test_f60_an_empty_file_with_a_second_name_is_not_given_away(state, place):
    os.chown(state, OTHER, OTHER)
    victim = place / "victim"
    victim.touch()
    os.link(victim, state / "jobs.db")
    _open(state / "jobs.db")
    assert victim.stat().st_uid == 0


def _socket(path: Path, _victim: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))


def _pipe(path: Path, _victim: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("plant", [_pipe, _socket])
def test_f60_a_pipe_or_socket_in_place_of_the_store(state, plant):
    with member_of_the_group():
        plant(state / "jobs.db", state)
    with pytest.raises(StoreRefused, match="expected a regular file"):
        _open(state / "jobs.db")


# ---------------------------------------------------------------------- the control socket


def _link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def _hard_link(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def _directory(path: Path, _victim: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("plant", [_link, _hard_link, _pipe, _directory])
def test_f60_what_is_in_place_of_the_lock_is_refused(place, plant: Callable[[Path, Path], None]):
    victim = place / "victim"
    victim.write_text("precious")
    plant(place / f"{instance_id(place / 'c.sock')}.lock", victim)
    with pytest.raises(CannotStart, match="expected a lock file, got"):
        Instance(place / "c.sock").lock()
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("plant", [_link, _pipe])
def test_f60_what_is_in_place_of_the_socket_is_refused(daemon, place, plant):
    victim = place / "victim"
    victim.write_text("precious")
    d = daemon("memory://planted", "[queues.q]\n")
    plant(d.control, victim)
    d.start(ready=False)
    assert d.wait() == 1
    assert "expected a free path" in d.all("daemon.failed")[0]["error"]
    assert victim.read_text() == "precious"


def test_f60_a_link_to_the_socket_of_another_is_refused(daemon, place):
    d = daemon("memory://planted", "[queues.q]\n")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place / "other.sock"))
        d.control.symlink_to(place / "other.sock")
        d.start(ready=False)
        assert d.wait() == 1


def test_f60_a_link_of_somebody_else_in_place_of_the_directory(place):
    """As in /tmp, where anybody can make it before the first start: it leads to one of root's."""
    os.chmod(place, 0o1777)
    (place / "precious").mkdir()
    with member_of_the_group():
        (place / "asyncmqd-0").symlink_to(place / "precious")
    with pytest.raises(CannotStart, match=f"of user {OTHER}"):
        Instance(place / "asyncmqd-0" / "control.sock").lock()
    assert list((place / "precious").iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o757])
def test_f56_a_directory_that_everybody_writes_is_refused(place, mode):
    directory = place / "open"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(CannotStart, match="a directory that not everybody writes"):
        Instance(directory / "control.sock").lock()


# ---------------------------------------------------------------------- the working directory


def test_modules_planted_in_the_working_directory_are_not_imported(daemon, place):
    """The group may write there: its code would run as the daemon, in each child of it."""
    store = Store(f"sqlite://{place}/jobs.db")
    d = daemon(
        store.url,
        "[queues.mail]\n",
        top="processes = 2\n",
        command=(sys.executable, "-P", "-m", "asyncmqd"),
    )
    for name in ("ctypes", "signal", "socket", "asyncio", "msgspec", "asyncmqd"):
        (place / f"{name}.py").write_text(f"open({str(place / 'planted')!r}, 'a').write('{name} ')")
    # What the application finds there is another matter: this test's own configuration says so.
    d.config.write_text(d.config.read_text().replace(f', "{place}"', ""))
    d.start()
    store.add("mail", "hold_child", ["job"])
    d.open_gate()
    d.wait_for("job.completed", job_id="job")
    assert d.stop() == 0
    assert not (place / "planted").exists(), (place / "planted").read_text()
