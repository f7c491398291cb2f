"""Which unit of systemd runs this process, and how often systemd has started it anew by itself."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

_PATIENCE = 5.0  # seconds for an answer of systemd


class Unit:
    """The unit, once it is known; a process that systemd does not run has none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._invocation = environ.get("INVOCATION_ID", "")
        self.name = ""
        self.restarts: int | None = None  # before this start: it never changes while we live

    async def ask(self) -> None:
        """Find out. Nothing depends on it, so that whatever fails leaves it unknown."""
        if self._invocation:  # that of a shell in some service, perhaps
            with contextlib.suppress(OSError, ValueError, KeyError, subprocess.SubprocessError):
                await asyncio.to_thread(self._ask)

    def _ask(self) -> None:
        cgroups = Path("/proc/self/cgroup").read_text("utf-8")
        unit = own_unit(cgroups)
        user = ["--user"] if "/user@" in cgroups else []
        asked = ["systemctl", "show", "--property=InvocationID,NRestarts", *user, unit]
        shown = subprocess.run(  # noqa: S603 - no word of it comes from elsewhere
            asked,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
        told = dict(line.partition("=")[::2] for line in shown.stdout.splitlines())
        if told["InvocationID"] == self._invocation:
            self.name, self.restarts = unit, int(told["NRestarts"])


def own_unit(cgroups: str) -> str:
    """The service that a process with these control groups belongs to. Raises ValueError."""
    for part in reversed(cgroups.rstrip().replace("\n", "/").split("/")):
        if part.endswith(".service"):
            return part
    raise ValueError("none")
