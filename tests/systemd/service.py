"""One of our units in a box, used as an administrator would."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from asyncmqd.daemon.control_client import ask
from tests.daemon.harness import LIMIT, Store, until
from tests.systemd.box import Box, Follower, event_of

APPLICATION = "/srv/app"  # where the box shows tests/daemon/app


class Service:
    """`asyncmqd.service`, or for a name `asyncmqd@NAME.service`, with the application of the tests.

    `backend` is the store's URL inside the box; without one it is SQLite in the state directory.
    """

    def __init__(self, box: Box, name: str = "", *, backend: str = "") -> None:
        suffix = f"-{name}" if name else ""
        self.box = box
        self.unit = f"asyncmqd@{name}.service" if name else "asyncmqd.service"
        self.config = f"/etc/asyncmq/{name or 'queues'}.toml"
        self.state = f"/var/lib/asyncmqd{suffix}"
        self.runtime = f"/run/asyncmqd{suffix}"
        self.backend = backend or f"sqlite://{self.state}/jobs.db"
        self._follower: Follower | None = None
        self.environ = {"LEDGER": f"{self.state}/ledger", "GATE": f"{self.state}/gate"}
        self.drop_in("environment", self._environment())

    def _environment(self) -> str:
        given = {**self.environ, "LD_LIBRARY_PATH": self.box.environment["LD_LIBRARY_PATH"]}
        return "[Service]\n" + "".join(f"Environment={k}={v}\n" for k, v in given.items())

    # ------------------------------------------------------------------ configuration

    def drop_in(self, name: str, text: str) -> None:
        """Change the unit, as `systemctl edit` would."""
        self.box.write(f"/etc/systemd/system/{self.unit}.d/{name}.conf", text)
        self.box.systemctl("daemon-reload")

    def configure(self, queues: str = "[queues.mail]\n", top: str = "") -> None:
        """Write the configuration; whoever runs does not know yet."""
        head = f'backend = "{self.backend}"\ntasks = ["ledger"]\npython_path = ["{APPLICATION}"]\n'
        self.write_config(f"{head}{top}\n{queues}")

    def write_config(self, text: str) -> None:
        """Write this for a configuration, whatever it is."""
        self.box.write(self.config, text)

    # ------------------------------------------------------------------ life

    def start(self, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`systemctl start`, and follow the journal from its beginning."""
        if self._follower is None:
            self._follower = Follower(self.box, self.unit)
        return self.box.systemctl("start", self.unit, check=check)

    def stop(self) -> None:
        """`systemctl stop`."""
        self.box.systemctl("stop", self.unit)

    def reload(self, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`systemctl reload`."""
        return self.box.systemctl("reload", self.unit, check=check)

    def kill(self, signal: str) -> None:
        """Send a signal to the main process."""
        self.box.systemctl("kill", "--kill-whom=main", "-s", signal, self.unit)

    def show(self, *properties: str) -> dict[str, str]:
        """Properties of the unit."""
        return self.box.show(self.unit, *properties)

    @property
    def pid(self) -> int:
        """The main process, as the box numbers it."""
        return int(self.show("MainPID")["MainPID"])

    @property
    def host_pid(self) -> int:
        """The main process, as the host numbers it; 0 while there is none."""
        inside = str(self.pid)
        of_unit = self.box.processes(self.unit)
        return next((pid for pid in of_unit if _number_inside(pid) == inside), 0)

    def wait_for_state(self, state: str, limit: float = LIMIT) -> None:
        """Until the unit's state is `active`, `failed` and so on."""
        until(lambda: self.show("ActiveState")["ActiveState"] == state, limit)

    def close(self) -> None:
        """Follow the journal no more."""
        if self._follower is not None:
            self._follower.close()

    # ------------------------------------------------------------------ what it says and did

    @property
    def log(self) -> Follower:
        assert self._follower is not None, "not started"
        return self._follower

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """The unit's own lines in the journal, without systemd's about it."""
        return self.box.journal(f"_SYSTEMD_UNIT={self.unit}", *matches)

    def status(self) -> dict[str, Any]:
        """What `asyncmqd status` is told."""
        reply = ask(self.box.path(f"{self.runtime}/control.sock"), "status")
        assert reply.ok, reply.error
        result: dict[str, Any] = reply.result
        return result

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`asyncmqd ... --config ...` as root, from a shell of its own."""
        return self.box.run("asyncmqd", *arguments, "--config", self.config, check=check)

    @property
    def store(self) -> Store:
        """The store from outside of the box. The daemon makes the file, so start it first."""
        scheme, _, path = self.backend.partition("://")
        return Store(f"{scheme}://{self.box.outside(path)}")

    def lines(self, word: str = "ran", queue: str | None = None) -> list[str]:
        """The ids of the jobs that wrote this word into the ledger, in order."""
        ledger = self.box.path(self.environ["LEDGER"])
        text = ledger.read_text() if ledger.exists() else ""
        noted = [line.split() for line in text.splitlines()]
        return [n[2] for n in noted if n[0] == word and queue in {None, n[1]}]

    def tally(self, word: str = "ran") -> Counter[str]:
        """How often each job wrote this word."""
        return Counter(self.lines(word))

    def open_gate(self) -> None:
        """Let the jobs that hold go on."""
        self.box.path(self.environ["GATE"]).touch()

    def logged(self, *words: str) -> list[dict[str, Any]]:
        """The unit's events of these names, in order."""
        events = map(event_of, self.entries())
        return [event for event in events if event.get("event") in words]


def _number_inside(pid: int) -> str:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return ""
    return next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1]
