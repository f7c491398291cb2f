"""Boxes with asyncmqd installed in them, one for each test, and what was seen in them."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.harness import APPLICATION as APPLICATION_HERE
from tests.servers import RedisServer
from tests.systemd.box import Box
from tests.systemd.service import APPLICATION, Service

ROOT = Path(__file__).parents[2]
PYTHON = "/opt/python"  # inside, for a home directory is not for services to read
# The state directories, which the host shows so that tests can open the SQLite files in them.
STATES = ("asyncmqd", *(f"asyncmqd-{name}" for name in "abcd"))
SHARED = "/srv/shared"
REDIS = f"unix://{SHARED}/s"  # where services reach the server
LAUNCHER = """#!/opt/python/bin/python3
import sys
sys.path[:0] = ["/srv/lib", "/srv/src"]
from asyncmqd.cli.{0} import main
main()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a path short enough for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="amq"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def box(place: Path) -> Iterator[Box]:
    """A booted systemd with asyncmqd installed, not started."""
    for name in ("box", "shared", *STATES):
        (place / name).mkdir()
    shown = {
        PYTHON: Path(sys.base_prefix),
        "/srv/lib": Path(sys.prefix) / "lib" / f"python3.{sys.version_info.minor}/site-packages",
        "/srv/src": ROOT,
        APPLICATION: APPLICATION_HERE,
        SHARED: place / "shared",
        **{f"/var/lib/{name}": place / name for name in STATES},
    }
    with Box(place / "box", shown) as booted:
        booted.environment["LD_LIBRARY_PATH"] = f"{PYTHON}/lib"
        _install(booted)
        yield booted


def _install(box: Box) -> None:
    for name in ("asyncmqd", "asyncmq"):
        box.write(f"/usr/local/bin/{name}", LAUNCHER.format(name), 0o755)
    for name in ("asyncmqd.service", "asyncmqd@.service", "asyncmqd.target"):
        box.write(f"/usr/local/lib/systemd/system/{name}", (ROOT / "systemd" / name).read_text())
    box.run("systemd-sysusers", "-", input='u asyncmqd - "asyncmqd" /var/lib/asyncmqd\n')
    box.systemctl("daemon-reload")


@pytest.fixture
def service(box: Box) -> Iterator[Callable[..., Service]]:
    """Makes services of the box."""
    made: list[Service] = []

    def make(name: str = "", **options: Any) -> Service:
        made.append(Service(box, name, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def server(place: Path) -> Iterator[RedisServer]:
    """A real server outside of the box, which services reach at `REDIS`."""
    directory = place / "shared"
    with RedisServer("valkey9", directory, options={"unixsocketperm": "777"}) as running:
        yield running


@pytest.fixture
def seen(record_property: Callable[[str, Any], None]) -> Callable[[str], None]:
    """Says what a check saw: `make test` prints it at its end."""
    return lambda text: record_property("seen", text)
