"""Which unit of systemd a process is, and how often it was started anew."""

from __future__ import annotations

import asyncio
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
    (tmp_path / "invocation:asyncmqd.service").symlink_to("abc")
    monkeypatch.setattr(systemd_unit, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(systemd_unit, "_UNITS", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "systemctl"


def found(systemctl: Path, answer: str, invocation: str = "abc") -> tuple[str, int | None]:
    """The unit and its restarts, if systemd answers so."""
    systemctl.write_text(f"#!/bin/sh\n{answer}\n")
    systemctl.chmod(0o755)
    unit = Unit({"INVOCATION_ID": invocation})
    assert (unit.name, unit.restarts) == ("", None)
    asyncio.run(unit.ask())
    return unit.name, unit.restarts


def test_restarts_are_asked_of_systemd(systemctl: Path) -> None:
    asked = 'test "$1 $4" = "show asyncmqd.service" || exit 1; echo 3'
    assert found(systemctl, asked) == ("asyncmqd.service", 3)


@pytest.mark.parametrize("answer", ["exit 1", "echo nothing", "exec /nowhere", "kill $$"])
def test_what_systemd_does_not_say_is_not_known(systemctl: Path, answer: str) -> None:
    assert found(systemctl, answer) == ("asyncmqd.service", None)


@pytest.mark.parametrize("invocation", ["of a shell in another service", ""])
def test_who_is_not_that_service_has_none(systemctl: Path, invocation: str) -> None:
    assert found(systemctl, "echo 3", invocation) == ("", None)
