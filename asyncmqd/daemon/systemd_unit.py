"""Which unit of systemd runs this process, and how often systemd has started it anew by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_PATIENCE = 5.0  # seconds for an answer of systemd
_UNITS = Path("/run/systemd/units")  # has a link for each unit that runs, to its invocation
_CGROUPS = Path("/proc/self/cgroup")


class Unit:
    """The unit, once it is known; a process that systemd does not run has none.

    The name is in files. How often it was restarted only systemd can say, which an ordinary user
    asks by D-Bus: a host without it leaves that unknown.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._invocation = environ.get("INVOCATION_ID", "")
        self.name = ""
        self.restarts: int | None = None  # before this start: it never changes while we live

    async def ask(self) -> None:
        """Find out. Nothing depends on it, so that whatever fails leaves it unknown."""
        if self._invocation:  # that of a shell in some service, perhaps
            with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
                await asyncio.to_thread(self._ask)

    def _ask(self) -> None:
        cgroups = _CGROUPS.read_text("utf-8")
        unit = own_unit(cgroups)
        link, user = _UNITS, []
        if "/user@" in cgroups:
            link, user = Path(f"/run/user/{os.getuid()}/systemd/units"), ["--user"]
        if os.readlink(link / f"invocation:{unit}") != self._invocation:
            return
        self.name = unit
        asked = ["systemctl", "show", "--property=NRestarts", "--value", *user, unit]
        shown = subprocess.run(  # noqa: S603 - no word of it comes from elsewhere
            asked,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
        self.restarts = int(shown.stdout)


def own_unit(cgroups: str) -> str:
    """The service that a process with these control groups belongs to. Raises ValueError."""
    for part in reversed(cgroups.rstrip().replace("\n", "/").split("/")):
        if part.endswith(".service"):
            return part
    raise ValueError("none")
