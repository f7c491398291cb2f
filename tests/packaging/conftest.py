"""An installation to look at, made once for all test processes, and what is needed to make more."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.once import make_once, shared_directory

ROOT = Path(__file__).parents[2]
NOT_SOURCE = shutil.ignore_patterns(".*", "tests", "benchmarks", "__pycache__", "var", "dist")


class Installation:
    """A staged installation: DESTDIR is `stage`, and `usr` is the path of PREFIX in the target.

    `go_live` makes `usr` lead to what is staged, as unpacking a package would, so that it runs.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.source = directory / "source"
        self.stage = directory / "stage"
        self.usr = directory / "usr"
        self.staged = Path(f"{self.stage}{self.usr}")
        self.configuration = self.stage / "etc/asyncmq/queues.toml"

    def make(self, target: str, **variables: object) -> subprocess.CompletedProcess[str]:
        """Run `make` in the source, without an index and with a strict umask."""
        usual = {"DESTDIR": self.stage, "PREFIX": self.usr, "PYTHON": sys.executable}
        settings = {**usual, "WHEELS": ROOT / ".venv/wheels", **variables}
        return subprocess.run(
            ["make", "-C", self.source, target, *(f"{k}={v}" for k, v in settings.items())],
            capture_output=True,
            text=True,
            umask=0o077,
        )

    def install(self) -> str:
        """Install; what was said about it."""
        done = self.make("install")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def go_live(self) -> None:
        self.usr.symlink_to(self.staged)

    def tree(self) -> dict[str, tuple[int, bytes]]:
        """Mode and content of every file and directory that is staged."""
        return {
            str(path.relative_to(self.stage)): (
                path.lstat().st_mode,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in sorted(self.stage.rglob("*"))
        }


def copy_source(directory: Path) -> Path:
    """The project without what only its developers have; the copy."""
    return Path(shutil.copytree(ROOT, directory, ignore=NOT_SOURCE))


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Installation:
    """An installation for looking only."""
    return staged_once(shared_directory(tmp_path_factory, worker_id))


def staged_once(shared: Path) -> Installation:
    """The one that all processes of this run look at."""
    return Installation(make_once(shared / "staged", _install))


def _install(directory: Path) -> None:
    subprocess.run(["make", "-C", ROOT, "-s", ".venv/.wheels"], check=True)
    installation = Installation(directory)
    copy_source(installation.source)
    installation.install()


@pytest.fixture
def living(staged: Installation) -> Iterator[Installation]:
    """A copy of it to work with. PREFIX is the same, and so only one test can have it."""
    directory = Path(tempfile.mkdtemp(prefix="amq"))
    copy = Installation(directory)
    subprocess.run(["cp", "-a", staged.source, staged.stage, directory], check=True)
    copy.usr, copy.staged = staged.usr, Path(f"{copy.stage}{staged.usr}")
    copy.go_live()
    yield copy
    copy.usr.unlink(missing_ok=True)
    shutil.rmtree(directory)
