"""The user, the group and the directories, as systemd's own tools make them in an empty root."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SYSUSERS = ROOT / "systemd/asyncmqd.sysusers.conf"
TMPFILES = ROOT / "systemd/asyncmqd.tmpfiles.conf"


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """The root of a system that has the user."""
    assert os.geteuid() == 0, "needs root, to give files away"
    (tmp_path / "etc").mkdir()
    apply("systemd-sysusers", tmp_path, SYSUSERS)
    return tmp_path


def apply(tool: str, system: Path, *arguments: object) -> None:
    done = subprocess.run([tool, f"--root={system}", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if tool == "systemd-tmpfiles":
        assert done.stderr == ""


def group_of(system: Path) -> int:
    (entry,) = (system / "etc/group").read_text().splitlines()
    return int(entry.split(":")[2])


def states(system: Path) -> dict[str, tuple[int, int, str]]:
    """Owner, group and mode of all that is in /etc/asyncmq, and of the directory itself."""
    directory = system / "etc/asyncmq"
    found = {}
    for path in (directory, *directory.rglob("*")):
        status = path.stat()
        mode = f"{stat.S_IMODE(status.st_mode):o}"
        found[str(path.relative_to(directory))] = (status.st_uid, status.st_gid, mode)
    return found


def test_the_user_cannot_log_in_and_lives_in_the_state_directory(system: Path) -> None:
    name, _, uid, gid, about, home, shell = (system / "etc/passwd").read_text().strip().split(":")
    assert (name, home) == ("asyncmqd", "/var/lib/asyncmqd")
    assert about
    assert shell.endswith("/nologin")
    assert 0 < int(uid) < 1000
    assert int(gid) == group_of(system)


def test_users_and_directories_are_made_once(system: Path) -> None:
    accounts = [(system / "etc" / name).read_text() for name in ("passwd", "group")]
    apply("systemd-tmpfiles", system, "--create", TMPFILES)
    made = states(system)
    assert made == {".": (0, group_of(system), "2750")}
    apply("systemd-sysusers", system, SYSUSERS)
    apply("systemd-tmpfiles", system, "--create", TMPFILES)
    assert [(system / "etc" / name).read_text() for name in ("passwd", "group")] == accounts
    assert states(system) == made


def test_the_configuration_is_given_to_the_group_and_keeps_its_modes(system: Path) -> None:
    drop_ins = system / "etc/asyncmq/queues.d"
    drop_ins.mkdir(parents=True)
    for name, mode in {"queues.toml": 0o640, "open.toml": 0o644, "backend_url": 0o600}.items():
        (drop_ins.parent / name).touch()
        (drop_ins.parent / name).chmod(mode)
    (drop_ins / "10.toml").touch(0o600)
    apply("systemd-tmpfiles", system, "--create", TMPFILES)
    group = group_of(system)
    assert states(system) == {
        ".": (0, group, "2750"),
        "queues.toml": (0, group, "640"),
        "open.toml": (0, group, "644"),
        "backend_url": (0, 0, "600"),  # for LoadCredential=, which reads as root
        "queues.d": (0, 0, "755"),
        "queues.d/10.toml": (0, group, "600"),
    }


def test_a_new_file_is_the_groups_whoever_writes_it(system: Path) -> None:
    apply("systemd-tmpfiles", system, "--create", TMPFILES)
    written = system / "etc/asyncmq/late.toml"
    written.touch()
    assert written.stat().st_gid == group_of(system)
