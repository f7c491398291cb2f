"""Which unit of systemd a process is, and how often it was started anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncmqd.daemon import systemd_unit
from asyncmqd.daemon.systemd_unit import Unit, own_unit


def test_the_service_is_found_in_the_control_groups() -> None:
    assert own_unit("0::/system.slice/asyncmqd.service\n") == "asyncmqd.service"
    user = "0::/user.slice/user-1.slice/user@1.service/app.slice/mq.service/jobs\n"
    assert own_unit(user) == "mq.service"
    with pytest.raises(ValueError, match="none"):
        own_unit("0::/\n")


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command of that name, for there is no systemd here, and a service that we are in."""
    (tmp_path / "cgroup").write_text("0::/system.slice/asyncmqd.service\n")
    monkeypatch.setattr(systemd_unit, "Path", lambda _: tmp_path / "cgroup")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "systemctl"


def answer(systemctl: Path, text: str) -> None:
    systemctl.write_text(f"#!/bin/sh\n{text}\n")
    systemctl.chmod(0o755)


async def test_restarts_are_asked_of_systemd(systemctl: Path) -> None:
    told = "echo InvocationID=abc; echo NRestarts=3"
    answer(systemctl, f'test "$3" = asyncmqd.service || exit 1; {told}')
    unit = Unit({"INVOCATION_ID": "abc"})
    assert (unit.name, unit.restarts) == ("", None)
    await unit.ask()
    assert (unit.name, unit.restarts) == ("asyncmqd.service", 3)


@pytest.mark.parametrize(
    "text", ["exit 1", "echo InvocationID=other; echo NRestarts=3", "echo nothing", "exec /nowhere"]
)
async def test_what_is_not_known_is_left_out(systemctl: Path, text: str) -> None:
    answer(systemctl, text)
    unit = Unit({"INVOCATION_ID": "abc"})
    await unit.ask()
    assert (unit.name, unit.restarts) == ("", None)


async def test_without_systemd_nothing_is_asked(systemctl: Path) -> None:
    answer(systemctl, "echo InvocationID=; echo NRestarts=3")
    unit = Unit({})
    await unit.ask()
    assert (unit.name, unit.restarts) == ("", None)
