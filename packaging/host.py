"""The running system: what its systemd has to know of a new or removed installation."""

from __future__ import annotations

import grp
import os
import shutil
import subprocess
from pathlib import Path

from layout import Place

GROUP = "asyncmqd"
_HOMES = {Path("/home"), Path("/root"), Path("/run/user")}  # what ProtectHome= hides
_SEARCHED = {Path("/usr"), Path("/usr/local")}  # prefixes whose units systemd finds by name


def is_target(place: Place) -> bool:
    """Whether this system is the one that is installed to, and we may change it."""
    return not place.destdir and os.geteuid() == 0


def group() -> int | None:
    """The id of the service's group, if this system has it."""
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


def running_units() -> list[str]:
    """The units of asyncmqd that are running here."""
    if not _systemd_runs():
        return []
    states = "--state=active,activating,reloading,deactivating"
    command = ["systemctl", "list-units", "--plain", "--no-legend", states]
    patterns = ["asyncmqd.service", "asyncmqd@*.service"]
    answer = subprocess.run([*command, *patterns], capture_output=True, text=True, check=False)
    return [line.split()[0] for line in answer.stdout.splitlines() if line.strip()]


def make_user(place: Place) -> list[str]:
    """Create user and group; the commands that are left to people."""
    return _do(place, "systemd-sysusers", str(place.sysusers))


def make_directories(place: Place) -> list[str]:
    """Give the configuration to the group; the commands that are left to people."""
    return _do(place, "systemd-tmpfiles", "--create", str(place.tmpfiles))


def reload_units(place: Place) -> list[str]:
    """Have systemd read its units again; the commands that are left to people."""
    if is_target(place) and not _systemd_runs():
        return []  # a container or an image: it reads them when it starts
    return _do(place, "systemctl", "daemon-reload")


def start_command(place: Place) -> str:
    """What starts the new code. Never done here: when, is for people to say."""
    if is_target(place) and (units := running_units()):
        return f"systemctl restart {' '.join(units)}"
    unit = "asyncmqd.service"
    if place.prefix in _SEARCHED:
        return f"systemctl enable --now {unit}"
    return f"systemctl enable --now {place.prefix}/lib/systemd/system/{unit}"


def hidden_directory(executable: str) -> Path | None:
    """The first directory above the executable that is closed to the service."""
    for directory in reversed(Path(executable).parents):
        if directory in _HOMES or not directory.stat().st_mode & 0o001:
            return directory
    return None


def _systemd_runs() -> bool:
    return Path("/run/systemd/system").is_dir()


def _do(place: Place, *command: str) -> list[str]:
    done = (
        is_target(place)
        and shutil.which(command[0]) is not None
        and subprocess.run(command, check=False).returncode == 0
    )
    return [] if done else [" ".join(command)]
