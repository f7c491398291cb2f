"""What a member of the group puts beside the database leads nobody elsewhere, root least of all."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.sqlite.ended_jobs import Endings
from asyncmqd.backends.sqlite.wake_directory import open_to_group, opened
from asyncmqd.backends.sqlite.wakeups import Listener, ring
from tests.eventually import LIMIT
from tests.security.test_planted import OTHER, member_of_the_group, state

__all__ = ["state"]


def _precious(directory: Path) -> dict[str, bytes | None]:
    """A directory with a file and a socket that nobody listens at, as another program has it."""
    directory.mkdir()
    (directory / "letter").write_text("precious")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as closed:
        closed.bind(str(directory / "socket"))
    return _contents(directory)


def _contents(directory: Path) -> dict[str, bytes | None]:
    return {
        each.name: each.read_bytes() if each.is_file() else None for each in directory.iterdir()
    }


def test_a_link_in_its_place_is_not_followed(state, place):
    before = _precious(place / "elsewhere")
    with member_of_the_group():
        (state / "jobs.db-wake").symlink_to(place / "elsewhere")
    ring(state / "jobs.db", {"mail"})
    assert _contents(place / "elsewhere") == before


def test_files_and_second_names_in_it_stay(state, place):
    """Whatever answers as a dead sleeper does was unlinked."""
    (state / "jobs.db-wake").mkdir()
    (state / "jobs.db-wake").chmod(0o2770)
    os.chown(state / "jobs.db-wake", 0, OTHER)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as of_another:
        of_another.bind(str(place / "of-another"))
        os.link(place / "of-another", state / "jobs.db-wake" / "second-name")
        (state / "jobs.db-wake" / "link").symlink_to(place / "of-another")
        (state / "jobs.db-wake" / "file").write_text("precious")
        ring(state / "jobs.db", {"mail"})
        of_another.setblocking(False)
        with pytest.raises(BlockingIOError):
            of_another.recv(100)
    assert sorted(_contents(state / "jobs.db-wake")) == ["file", "link", "second-name"]


@pytest.mark.parametrize("plant", ["link", "file", "directory"])
async def test_who_waits_makes_it_anew(state, place, plant):
    before = _precious(place / "elsewhere")
    with member_of_the_group():
        planted = state / "jobs.db-wake"
        {
            "link": lambda: planted.symlink_to(place / "elsewhere"),
            "file": planted.touch,
            "directory": planted.mkdir,
        }[plant]()
    listener = Listener(state / "jobs.db")
    await listener.wait(["mail"], 0.0)
    assert planted.lstat().st_uid == 0
    ring(state / "jobs.db", {"mail"})
    assert await listener.wait(["mail"], LIMIT) == {"mail"}
    await listener.close()
    assert _contents(place / "elsewhere") == before


async def test_who_did_not_make_it_is_told(state):
    """A member of the group cannot replace it, nor rely on what another member put there."""
    with member_of_the_group():
        (state / "jobs.db-wake").mkdir()
    os.chown(state / "jobs.db-wake", OTHER + 1, OTHER)
    with (
        member_of_the_group(),
        pytest.raises(StoreError, match=f"of root, got one of user {OTHER + 1}"),
    ):
        await Listener(state / "jobs.db").wait(["mail"], 0.0)


def test_a_link_in_place_of_a_socket_opens_no_file_to_the_group(place):
    """Put there between the making of the socket and the setting of its mode."""
    (place / "letter").write_text("precious")
    (place / "letter").chmod(0o600)
    (place / "jobs.db-wake").mkdir()
    (place / "jobs.db-wake" / "name").symlink_to(place / "letter")
    with opened(place / "jobs.db") as fd:
        open_to_group(fd, "name")
    assert (place / "letter").stat().st_mode & 0o777 == 0o600


async def test_a_link_in_place_of_a_new_directory_opens_no_other_to_the_group(
    state, place, monkeypatch
):
    (place / "elsewhere").mkdir(mode=0o700)
    monkeypatch.setattr("os.mkdir", lambda path, _: os.symlink(place / "elsewhere", path))
    with pytest.raises(StoreError, match="no process can wait for jobs there"):
        await Listener(state / "jobs.db").wait(["mail"], 0.0)
    assert (place / "elsewhere").stat().st_mode & 0o777 == 0o700


async def test_root_empties_nothing_that_is_not_a_socket(state):
    with member_of_the_group():
        (state / "jobs.db-wake").mkdir()
        (state / "jobs.db-wake" / "letter").write_text("precious")
    with pytest.raises(StoreError, match="no process can wait for jobs there"):
        await Listener(state / "jobs.db").wait(["mail"], 0.0)
    assert _contents(state / "jobs.db-wake") == {"letter": b"precious"}


@pytest.mark.parametrize("lost", ["the directory", "its socket"])
async def test_what_was_removed_is_made_again(tmp_path, monkeypatch, lost):
    """Nobody was woken any more, and jobs came late."""
    monkeypatch.setattr("asyncmqd.backends.sqlite.wakeups.LOOK_EVERY", 0.01)
    listener = Listener(tmp_path / "jobs.db")
    await listener.wait(["mail"], 0.0)
    waiting = asyncio.create_task(listener.wait(["mail"], 10 * LIMIT))
    for each in (tmp_path / "jobs.db-wake").iterdir():
        each.unlink()
    if lost == "the directory":
        (tmp_path / "jobs.db-wake").rmdir()
    async with asyncio.timeout(LIMIT):
        assert await waiting == {"mail"}, "what came meanwhile is to be looked for"
    ring(tmp_path / "jobs.db", {"mail"})
    assert await listener.wait(["mail"], LIMIT) == {"mail"}
    await listener.close()


JUNK = [b"", b"mail", b"\xa1\xff", b"\x92\xa1m\x91\xa1\xff", b"\x91" * 5_000, b"\x92" * 5_000]


async def test_what_others_send_to_a_socket_is_nothing_or_a_name(tmp_path):
    """More than are read in one turn: whoever floods a socket does not hold the event loop."""
    failed: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    database, waited = tmp_path / "jobs.db", {"mail": {"a", "b"}}
    sleeper, ear = Listener(database), Endings(database)
    assert await sleeper.wait(["mail"], 0.0) == {"mail"}
    assert await ear.wait_ended(waited, 0.0) == waited  # nothing was heard before
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as member:
        for name in (tmp_path / "jobs.db-wake").iterdir():
            for data in JUNK:
                member.sendto(data, str(name))
    ring(database, {"mail"}, {"mail": ["a"]})
    assert await sleeper.wait(["mail"], LIMIT) == {"mail"}
    assert "a" in (await ear.wait_ended(waited, LIMIT))["mail"]
    assert failed == []
    await sleeper.close()
    ear.abandon()


# ---------------------------------------------------------------------- root's own commands


def asyncmq(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("asyncmq"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd="/")


def test_root_s_command_works_as_the_owner_of_the_directory(place):
    place.chmod(0o755)
    state = place / "state"
    state.mkdir()
    os.chown(state, OTHER, OTHER)
    url = f"sqlite://{state}/jobs.db"
    done = asyncmq("--backend", url, "enqueue", "app.task", "--queue", "mail")
    assert done.returncode == 0, done.stderr
    assert {each.stat().st_uid for each in state.iterdir()} == {OTHER}


def test_a_backup_by_root_names_the_user_who_cannot_write_it(place):
    place.chmod(0o755)
    state = place / "state"
    state.mkdir()
    os.chown(state, OTHER, OTHER)
    done = asyncmq(
        "--backend", f"sqlite://{state}/jobs.db", "store", "backup", str(place / "copy.db")
    )
    assert done.returncode == 1
    assert f"it cannot be written by user {OTHER}" in done.stderr
