"""Somebody who reads a page and types what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.examples.conftest import EXAMPLES


def shell_blocks(page: Path) -> list[str]:
    """The commands of a page, block by block."""
    return re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


class Reader:
    """Somebody who types commands in a directory."""

    def __init__(self, config: Path, folder: Path, **environ: str) -> None:
        self._folder = folder
        self._environ = {
            **os.environ,
            **environ,
            "ASYNCMQD_CONFIG": str(config),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def type(self, lines: str) -> str:
        """What these commands print; each has to succeed."""
        done = subprocess.run(
            ["bash", "-euc", lines],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[str]]:
        """`asyncmqd`, ready."""
        process = subprocess.Popen(
            ["asyncmqd"], cwd=self._folder, env=self._environ, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            assert any('"daemon.ready"' in line for line in process.stdout)
            yield process
        finally:
            process.kill()
            process.communicate()


@contextmanager
def readme_of(example: str, place: Path, **environ: str) -> Iterator[tuple[Reader, str]]:
    """Who has done what the README of an example says up to the daemon, and the commands after."""
    started, rest = shell_blocks(EXAMPLES / example / "README.md")
    assert started.splitlines()[-1] == "asyncmqd run --config queues.toml"
    text = (EXAMPLES / example / "queues.toml").read_text()
    text = text.replace("/srv/examples", str(EXAMPLES)).replace(
        "sqlite:///tmp", f"sqlite://{place}"
    )
    config = place / "queues.toml"
    config.write_text(f'control_socket = "{place}/control.sock"\n{text}')
    reader = Reader(config, EXAMPLES, **environ)
    assert "ok, 1 queue" in reader.type(
        started.partition("\n")[0].replace("queues.toml", str(config))
    )
    with reader.daemon():
        yield reader, rest
