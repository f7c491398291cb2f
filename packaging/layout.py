"""What is installed beside the code: which file of this project goes where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("asyncmqd", "asyncmq")
CONFIGURATION = Path("/etc/asyncmq/queues.toml")
SAMPLE = ROOT / "etc/asyncmq/queues.toml"

_EXECUTABLE = re.compile(r"^(Exec\w+=(?:[-@:+!]*|.* ))asyncmqd(?= )", re.MULTILINE)


class Place(NamedTuple):
    """Where an installation goes. `destdir` is where the root of the target system is by now."""

    destdir: str
    prefix: Path

    def on_disk(self, path: Path) -> Path:
        """Where a path of the target system is by now."""
        return Path(f"{self.destdir}{path}")

    @property
    def library(self) -> Path:
        """The directory that is the installation's own, in the target system."""
        return self.prefix / "lib/asyncmqd"

    @property
    def documentation(self) -> Path:
        """The directory of the documentation, in the target system."""
        return self.prefix / "share/doc/asyncmqd"

    def launcher(self, command: str) -> Path:
        """What people start, in the target system."""
        return self.prefix / "bin" / command

    @property
    def sysusers(self) -> Path:
        """The declaration of the user, in the target system."""
        return self.prefix / "lib/sysusers.d/asyncmqd.conf"

    @property
    def tmpfiles(self) -> Path:
        """The declaration of the directories, in the target system."""
        return self.prefix / "lib/tmpfiles.d/asyncmqd.conf"


def files(place: Place) -> Iterator[tuple[Path, str]]:
    """Each text file with its path in the target system, except launchers and completions."""
    for unit in _sources("systemd/*.service", "systemd/*.target"):
        yield place.prefix / "lib/systemd/system" / unit.name, _unit(place, unit)
    yield place.sysusers, _text("systemd/asyncmqd.sysusers.conf")
    yield place.tmpfiles, _text("systemd/asyncmqd.tmpfiles.conf")
    for page in _sources("docs/man/*.[1-8]"):
        text = page.read_text().replace("/usr/local/", f"{place.prefix}/")
        yield place.prefix / f"share/man/man{page.name[-1]}" / page.name, text
    for name in ("README.md", "CHANGELOG.md", "LICENSE"):
        yield place.documentation / name, _text(name)
    for page in _sources("docs/*.md", "docs/*/*.md", "docs/drawings/*.svg", "docs/monitoring/*"):
        yield place.documentation / page.relative_to(ROOT), page.read_text()
    for drop_in in _sources("systemd/[!a]*.conf"):  # those that begin with asyncmqd are above
        yield place.documentation / drop_in.name, drop_in.read_text()
    yield place.documentation / SAMPLE.name, SAMPLE.read_text()


def _sources(*patterns: str) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(ROOT.glob(pattern))


def _text(name: str) -> str:
    return (ROOT / name).read_text()


def _unit(place: Place, unit: Path) -> str:
    """The unit, which starts this very installation and no other that a PATH might name first."""
    return _EXECUTABLE.sub(rf"\g<1>{place.launcher('asyncmqd')}", unit.read_text())
