"""The daemon as a child process, and its log as events."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

_LONGEST_LINE = 1024 * 1024  # bytes


class DaemonProcess:
    """`asyncmqd run --config CONFIG`; its log goes to a file and comes back as events."""

    def __init__(self, config: Path, log: Path, environment: Mapping[str, str]) -> None:
        self.ready = asyncio.Event()
        self._config = config
        self._log = log
        self._environment = environment
        self._process: Process | None = None

    async def start(self) -> None:
        """Start it. From now on SIGINT and SIGTERM to this process mean that it shall stop."""
        # In a session of its own: it would get a Ctrl-C from the terminal and another one from us,
        # and the second one means that running jobs are not waited for.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "asyncmqd", "run", "--config", str(self._config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            limit=_LONGEST_LINE,
            env={**os.environ, **self._environment},
            start_new_session=True,
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.stop)

    def stop(self) -> None:
        """Have it drain; a second call has it leave at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Its log, line by line, until it ends."""
        assert self._process is not None
        assert self._process.stdout is not None
        with self._log.open("ab") as log:
            async for line in self._process.stdout:
                log.write(line)
                log.flush()
                event = json.loads(line)
                if event["event"] == "daemon.ready":
                    self.ready.set()
                yield event

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self._process is not None
        return await self._process.wait()
