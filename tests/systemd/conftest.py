"""Boxes with asyncmqd installed in them, one for each test."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.harness import APPLICATION as APPLICATION_HERE
from tests.once import make_once, shared_directory
from tests.packaging.conftest import Installation, staged_once
from tests.scale import SCALE
from tests.servers import RedisServer
from tests.systemd.box import Box
from tests.systemd.service import APPLICATION, Service

ROOT = Path(__file__).parents[2]
SOURCE = "/srv/src"
PYTHON = "/opt/python"  # inside, for a home directory is not for services to read
# The state directories, which the host shows so that tests can open the SQLite files in them.
NAMES = "abcdefghij"  # of instances
STATES = ("asyncmqd", *(f"asyncmqd-{name}" for name in NAMES))
SHARED = "/srv/shared"
REDIS = f"unix://{SHARED}/s"  # where services reach the server

INSTALL = ("make", "-C", SOURCE, "install", f"PYTHON={PYTHON}/bin/python3", "PREFIX=/usr/local")
OFFLINE = f"WHEELS={SOURCE}/.venv/wheels"


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """What `make install` lays down."""
    shared = shared_directory(tmp_path_factory, worker_id)
    make = functools.partial(_move, staged_once(shared)) if SCALE == "short" else _install
    return make_once(shared / "installed", make) / "tree"


def _move(staged: Installation, directory: Path) -> None:
    """Take what is installed already for tests/packaging: a third run of pip would be dear."""
    usr = directory / "tree/usr/local"
    shutil.copytree(staged.staged, usr)
    (code,) = (usr / "lib/asyncmqd").glob("*/")
    python = Path(sys.executable).resolve()
    for path in usr.rglob("*"):
        if path.is_file() and not path.is_relative_to(code):
            text = path.read_text().replace(str(staged.usr), "/usr/local")
            path.write_text(text.replace(str(python), f"{PYTHON}/bin/{python.name}"))


def _install(directory: Path) -> None:
    """Install it in a box, where it is to run."""
    subprocess.run(["make", "-C", ROOT, "-s", ".venv/.wheels"], check=True)
    tree, place = directory / "tree", directory / "box"
    tree.mkdir()
    place.mkdir()
    with bare_box(place, {"/srv/tree": tree}) as box:
        box.run(*INSTALL, OFFLINE, "DESTDIR=/srv/tree")


def bare_box(place: Path, shown: Mapping[str, Path]) -> Box:
    """A box that has the interpreter and the source, and no asyncmqd."""
    box = Box(place, {PYTHON: Path(sys.base_prefix), SOURCE: ROOT, **shown})
    box.environment["LD_LIBRARY_PATH"] = f"{PYTHON}/lib"
    return box


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a path short enough for sockets, not below /dev, which all boxes show."""
    below_dev = tempfile.gettempdir().startswith("/dev/")
    directory = Path(tempfile.mkdtemp(prefix="amq", dir="/tmp" if below_dev else None))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def box(tree: Path, place: Path) -> Iterator[Box]:
    """A booted systemd with asyncmqd installed, not started."""
    for name in ("box", "shared", *STATES):
        (place / name).mkdir()
    shown = {
        "/usr/local": tree / "usr/local",
        APPLICATION: APPLICATION_HERE,
        SHARED: place / "shared",
        **{f"/var/lib/{name}": place / name for name in STATES},
    }
    with bare_box(place / "box", shown) as booted:
        booted.run("systemd-sysusers")
        booted.run("systemd-tmpfiles", "--create", "asyncmqd.conf")
        yield booted


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
