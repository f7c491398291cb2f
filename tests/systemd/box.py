"""A box: a private systemd, booted as PID 1 of namespaces of its own in a third of a second.

It needs root and a systemd on the host, and nothing else: no container engine, no network, no
terminal. Inside, the host's files are there, and what is written to them stays in memory. Outside,
the test reads and writes the box's files through `/proc/PID/root`, and runs commands in it.

With ASYNCMQD_TEST_ROOT, the path of another root file system (`make test-systemd ROOT=...`), its
files are those that are seen inside, and its systemd is booted.

The box dies with the test process, however that ends. What is known not to work in it: limits of
memory and of tasks, where the host still has version 1 control groups.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.daemon.harness import until
from tests.eventually import LIMIT
from tests.servers import die_with_parent

_numbers = itertools.count(1)
BOOT = Path(__file__).with_name("boot.sh")
LOWER = Path(os.environ.get("ASYNCMQD_TEST_ROOT", "/"))
BOOT_LIMIT = 20.0  # seconds; a loaded machine needs one
COMMAND_LIMIT = 280.0  # seconds: `make install` on a loaded machine
UNIT_PATH = "/run/box:/etc/systemd/system:/usr/local/lib/systemd/system"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "SYSTEMD_UNIT_PATH": UNIT_PATH,
    "SYSTEMD_COLORS": "0",
    "SYSTEMD_PAGER": "",
}


@functools.cache
def missing() -> str:
    """Why no box can be booted here; empty if it can."""
    if os.geteuid() != 0:
        return "not root"
    for inside in ("usr/lib/systemd/systemd", "usr/bin/journalctl", "usr/bin/systemd-analyze"):
        if not (LOWER / inside).exists():
            return f"no {LOWER / inside}"
    for tool in ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            return f"no {tool}"
    probe = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--net", "true"], capture_output=True
    )
    return "" if probe.returncode == 0 else f"no namespaces: {probe.stderr.decode().strip()}"


class Failed(AssertionError):
    """A command in the box ended with another exit code than was expected."""


class Box:
    """One booted systemd. Use it as a context manager.

    `place` is an empty directory for it to work in; `shown` are directories of the host by the path
    that they have inside, writable in both.
    """

    def __init__(self, place: Path, shown: Mapping[str, Path]) -> None:
        self.place = place
        self._shown = dict(shown)
        self._cgroup = _cgroup_root() / f"asyncmqd-box-{os.getpid()}-{next(_numbers)}"
        self._unshare: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self.environment = dict(ENVIRONMENT)

    # ------------------------------------------------------------------ life

    def __enter__(self) -> Self:
        self._cgroup.mkdir()
        console = self.place / "console"
        root = self.place / "box"
        root.mkdir()
        own = str(self._cgroup / "cgroup.procs")
        die = die_with_parent()

        def enter_cgroup() -> None:
            die()
            Path(own).write_text(str(os.getpid()))

        pairs = [f"{host}={inside}" for inside, host in self._shown.items()]
        unshare = ["unshare", "--fork", "--kill-child", "--propagation", "private"]
        unshare += ["--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup"]
        with console.open("wb") as out:
            self._unshare = subprocess.Popen(
                [*unshare, str(BOOT), str(root), *pairs],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, "BOX_UNIT_PATH": UNIT_PATH, "BOX_LOWER": str(LOWER)},
                preexec_fn=enter_cgroup,  # noqa: PLW1509 - it calls nothing that takes a lock
                start_new_session=True,
            )
        try:
            until(self._is_up, BOOT_LIMIT)
        except BaseException as error:
            self.__exit__()
            raise AssertionError(
                f"no boot: {error}\n{console.read_text('utf8', 'replace')}"
            ) from None
        return self

    def _is_up(self) -> bool:
        assert self._unshare is not None
        if self._unshare.poll() is not None:
            raise AssertionError("the boot script ended")
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text()
        if not children.split():
            return False
        self._pid = int(children.split()[0])
        if Path(f"/proc/{self._pid}/comm").read_text().strip() != "systemd":
            return False
        if not self.path("/run/systemd/private").exists():  # by which it is asked
            return False
        self.run("systemctl", "is-system-running", "--wait", check=False, limit=BOOT_LIMIT)
        return self.run("systemctl", "is-active", "basic.target", check=False).returncode == 0

    def __exit__(self, *_: object) -> None:
        assert self._unshare is not None
        self._unshare.kill()  # and with it PID 1, and with that all others
        self._unshare.wait()
        until(self._is_gone)

    def _is_gone(self) -> bool:
        """Remove its control groups, which are busy until the last process in them was reaped."""
        try:
            for directory, _, _ in os.walk(self._cgroup, topdown=False):
                Path(directory).rmdir()
        except OSError:
            return False
        return True

    def processes(self, unit: str) -> list[int]:
        """The processes of a unit, as the host numbers them."""
        return [pid for each in self._cgroup.rglob(unit) for pid in _listed(each)]

    # ------------------------------------------------------------------ commands

    def run(
        self,
        *command: str,
        check: bool = True,
        input: str | None = None,
        limit: float = COMMAND_LIMIT,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the box, as root. Raises Failed if its exit code is not 0."""
        done = subprocess.run(
            [*self._inside(), *command],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="replace",  # a command may print a database
            timeout=limit,
        )
        if check and done.returncode != 0:
            raise Failed(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Begin a command in the box."""
        return subprocess.Popen([*self._inside(), *command], text=True, **options)

    def _inside(self) -> list[str]:
        enter = [
            "nsenter",
            "-t",
            str(self._pid),
            "-m",
            "-p",
            "-i",
            "-u",
            "-n",
            "-C",
            "-r",
            "-w",
            "--",
        ]
        return [*enter, "env", "-i", *(f"{key}={value}" for key, value in self.environment.items())]

    def systemctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run systemctl."""
        return self.run("systemctl", *arguments, check=check)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit."""
        out = self.systemctl("show", unit, f"--property={','.join(properties)}").stdout
        return dict(line.split("=", 1) for line in out.splitlines())

    # ------------------------------------------------------------------ files

    def path(self, inside: str) -> Path:
        """A file of the box, to be read and written from outside."""
        return Path(f"/proc/{self._pid}/root{inside}")

    def outside(self, inside: str) -> Path:
        """Where the host has a path below one that it shows: SQLite follows no `path`."""
        shown = next(each for each in self._shown if Path(inside).is_relative_to(each))
        return self._shown[shown] / Path(inside).relative_to(shown)

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the box."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    # ------------------------------------------------------------------ the journal

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """The journal's entries that match, oldest first."""
        self.run("journalctl", "--sync")
        out = self.run("journalctl", "--no-pager", "-q", "--all", "-o", "json", *matches).stdout
        return [json.loads(line) for line in out.splitlines()]


class Follower:
    """The events that a unit's daemon logs, as they come into the journal."""

    def __init__(self, box: Box, unit: str) -> None:
        self.unit = unit
        self.entries: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._process = box.popen(
            *("journalctl", "-f", "-q", "--all", "-n", "all", "-o", "json"),
            *("--unit", unit),
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith("\n"):
                return  # `close` cut it off
            entry = json.loads(line)
            with self._news:
                self.entries.append(entry)
                self._news.notify_all()

    def events(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """All events so far of this name and with these fields."""
        wanted = {"event": event, **fields}
        return [each for each in map(event_of, list(self.entries)) if holds(wanted, each)]

    def wait_for(
        self, event: str, count: int = 1, limit: float = LIMIT, **fields: Any
    ) -> dict[str, Any]:
        """The `count`-th such event, as soon as it is there."""
        with self._news:
            came = self._news.wait_for(lambda: len(self.events(event, **fields)) >= count, limit)
        said = [entry.get("MESSAGE") for entry in self.entries[-40:]]
        assert came, f"no {count} x {event} {fields} from {self.unit}; last: {said}"
        return self.events(event, **fields)[count - 1]

    def close(self) -> None:
        """Follow no more."""
        os.killpg(self._process.pid, signal.SIGKILL)  # nsenter, and journalctl, its child
        self._process.wait()
        self._thread.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


def event_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the daemon logged, if the entry is a line of its log; else nothing."""
    message = entry.get("MESSAGE")
    if not isinstance(message, str) or not message.startswith("{"):
        return {}
    try:
        event = json.loads(message)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def holds(wanted: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether the event has all that is wanted."""
    return all(key in event and event[key] == value for key, value in wanted.items())


def _listed(cgroup: Path) -> list[int]:
    files = [each.read_text() for each in cgroup.rglob("cgroup.procs")]
    return [int(pid) for text in files for pid in text.split()]


def _cgroup_root() -> Path:
    """Where version 2 control groups are mounted, alone or beside the old ones."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise AssertionError("no cgroup2 file system is mounted")
