"""Mails are late in nine ways: the first line of `asyncmqd status`, `asyncmq top` and /readyz.

Each with real daemons. The scenes of `queue why` on each store are in tests/cli/test_why.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncmqd.admin import why
from asyncmqd.admin.causes import Cause, Noticed, Own, of_daemon
from asyncmqd.cli.asyncmq import main
from asyncmqd.domain import clock
from asyncmqd.domain.heartbeat import serving_of
from tests.daemon.harness import Daemon, Notified, Store, until
from tests.daemon.test_http import Client, section
from tests.servers import RedisServer, free_port

Make = Callable[..., Daemon]
BREAKS = """
from asyncmqd import task

@task(name="breaks")
async def breaks():
    raise ConnectionRefusedError("smtp.example.org:25")
"""


Capture = pytest.CaptureFixture[str]
Seen = Callable[[str], None]
Night = Callable[..., "Faces"]


class Faces:
    """One daemon, and the first line of all that tells people of it."""

    def __init__(self, d: Daemon, store: str, port: int, capsys: Capture, seen: Seen) -> None:
        self.d, self._store, self.http = d, store, Client(port)
        self._capsys, self._seen = capsys, seen

    def first_line(self, name: str) -> str:
        """What all of them say, once the worst cause has this name; the table has it, too."""
        until(lambda: self._is_worst(name))
        line = until(self._same)
        self.note(name, line)
        assert " TIME" in line, "since when"
        assert re.search(r" \[(asyncmqd?|systemctl|journalctl) .+\]$", line), "what to do"
        return line

    def note(self, name: str, line: str) -> None:
        """A row of the table."""
        self._seen(f"night: {name}: {line}")

    def _is_worst(self, name: str) -> bool:
        found = self.d.ask("status")["causes"]
        return bool(found) and found[0]["name"] == name

    def _same(self) -> str:
        """The line of all three, once they say the same: each looks at a moment of its own."""
        lines = {self.of_status(), self.of_readyz(), self.of_top()}
        return lines.pop() if len(lines) == 1 else ""

    def of_status(self) -> str:
        return _first(self.d.cli("status").stdout)

    def of_readyz(self) -> str:
        return _first(self.http.get("/readyz").text)

    def of_top(self) -> str:
        """Of `asyncmq top` where nobody can type."""
        with pytest.raises(SystemExit):
            main(["--backend", self._store, "top"])
        out, err = self._capsys.readouterr()
        return _first(out or err)


def _first(text: str) -> str:
    return _timeless((text.splitlines() or [""])[0].removeprefix("! "))


def _timeless(text: str) -> str:
    return re.sub(r"\d{4}-\S+?Z", "TIME", text)


@pytest.fixture
def night(daemon: Make, capsys: Capture, seen: Seen) -> Night:
    """Starts a daemon, which answers over HTTP."""

    def begin(store: str, queues: str, **options: Any) -> Faces:
        port = free_port()
        d = daemon(store, section(port) + queues, **options).start()
        return Faces(d, store, port, capsys, seen)

    return begin


def serves(store: Store, queue: str) -> bool:
    """Whether a living daemon has told that it serves the queue."""
    living = store.do(lambda backend: backend.workers())
    return any(serving_of(each.info).serves(queue) for each in living)


def reason(store: Store, queue: str = "mail") -> str:
    return store.do(lambda backend: why.queue(backend, queue)).name


def test_the_store_is_down(night: Night, server: RedisServer) -> None:
    faces = night(server.url, "[queues.mail]\n")
    d = faces.d
    assert d.ask("status")["causes"] == []
    server.kill()
    line = faces.first_line("degraded")
    assert line.startswith(f"degraded: {server.url}: ")
    assert line.endswith(", since TIME. [asyncmq store info]")
    server.start()
    until(lambda: d.ask("status")["causes"] == [])


def test_the_queue_is_paused(night: Night, store: Store) -> None:
    faces = night(store.url, "[queues.mail]\n")
    store.do(lambda backend: backend.pause("mail", True, by="ann", reason="provider is down"))
    assert faces.first_line("paused") == (
        "mail: Queue mail is paused since TIME by ann: provider is down."
        " [asyncmq queue resume mail]"
    )


def test_the_limit_is_full(night: Night, file: Store) -> None:
    queue = "[queues.mail]\nglobal_rate_limit = 1\nglobal_rate_interval = 3600\n"
    faces = night(file.url, queue)
    file.add("mail", "mark", ["a", "b"])
    line = faces.first_line("global_rate_limit")
    assert line.startswith("mail: 1 job to run: the rate limit of 1 in 3600 s over all daemons")
    assert faces.d.ask("status")["causes"][0]["until"] is not None


def test_the_slots_are_busy(night: Night, file: Store) -> None:
    faces = night(file.url, "[queues.mail]\nconcurrency = 1\n")
    d = faces.d
    file.add("mail", "hold", ["slow"])
    until(lambda: d.lines("began"))
    file.add("mail", "mark", ["b"])
    line = faces.first_line("slots_busy")
    assert "1 job to run: all slots are busy (1), longest with slow (hold, " in line
    assert line.endswith(", since TIME. [asyncmqd reload]")
    d.open_gate()
    until(lambda: d.ask("status")["causes"] == [])


def test_nobody_knows_the_task(night: Night, file: Store) -> None:
    faces = night(file.url, "[queues.mail]\n")
    until(lambda: serves(file, "mail"))  # by a heartbeat, which tells what it knows, too
    file.add("mail", "marks", ["a"])
    assert faces.first_line("parked") == (
        "mail: Parked for task marks: no worker there knows its task (did you mean mark?),"
        " since TIME. [systemctl restart asyncmqd]"
    )


def test_the_jobs_fail(night: Night, file: Store, place: Path) -> None:
    (place / "broken_mail.py").write_text(BREAKS)
    faces = night(file.url, "[queues.mail]\n", tasks=("ledger", "broken_mail"))
    file.add("mail", "breaks", ["a", "b", "c"])
    line = faces.first_line("failing")
    assert line.startswith(
        "mail: 3 of the last 3 runs failed, 3 of them with ConnectionRefusedError:"
        " smtp.example.org:25, since TIME. [asyncmq job show "
    )


def test_the_daemon_of_a_schedule_is_gone(daemon: Make, night: Night, file: Store) -> None:
    often = '[[queues.mail.repeatables]]\ntask = "mark"\nevery = 1\n'
    one = daemon(file.url, f"[queues.mail]\n{often}", name="one").start()
    until(one.lines)
    one.kill()
    two = night(file.url, "[queues.mail]\n", name="two")
    line = two.first_line("schedule_late")
    assert line.startswith("mail: Schedule mark is late: its instant TIME was not fired")


def test_no_daemon_lives(night: Night, file: Store) -> None:
    faces = night(file.url, "[queues.mail]\n")
    d = faces.d
    file.add("mail", "mark", ["a"])
    until(d.lines)
    until(lambda: reason(file) in {"working", "empty"})
    assert d.stop() == 0
    file.add("mail", "mark", ["b"])
    assert reason(file) == "no_daemon"
    line = faces.of_top()
    assert line == (
        "mail: No living daemon serves queue mail, since TIME. [systemctl start asyncmqd]"
    )
    told = d.cli("status")
    assert (told.returncode, _first(told.stdout)) == (1, line)
    assert told.stderr == (f"asyncmqd: no daemon runs at {d.control} [systemctl start asyncmqd]\n")
    faces.note("no_daemon", line)
    with pytest.raises(ConnectionRefusedError):
        faces.of_readyz()


def test_the_daemon_restarts(night: Night, file: Store) -> None:
    queues = "[queues.mail]\ntimeout = 0.1\n[queues.slow]\n"
    faces = night(file.url, queues, top="stuck_limit = 1\n")
    d = faces.d
    file.add("slow", "hold", ["drains"])
    until(lambda: d.lines("began"))
    file.add("mail", "hold_thread", ["stuck"])
    d.wait_for("daemon.restarting")
    line = faces.first_line("restarting")
    assert " is restarting: 1 plain function is stuck: only a new process ends" in line
    assert line.endswith(", since TIME. [journalctl -u asyncmqd -e]")
    file.do(lambda backend: backend.pause("slow", True, by="ann", reason="x"))
    assert faces.of_top() == line, "it is worse than what is wrong with a queue"


def test_the_status_line_says_the_worst_first(daemon: Make, file: Store, place: Path) -> None:
    notified = Notified(f"{place}/n")
    d = daemon(file.url, "[queues.mail]\n", environ={"NOTIFY_SOCKET": notified.address})
    file.do(lambda backend: backend.pause("mail", True, by="ann", reason="provider is down"))
    d.start()
    until(lambda: any("Queue mail is paused" in each for each in notified.all("STATUS")))
    line = next(each for each in notified.all("STATUS") if "is paused" in each)
    assert line.startswith("mail: Queue mail is paused since ")
    assert "[asyncmq queue resume mail]; queues: 1, running: 0" in line


# ---------------------------------------------------------------------- the pure function


def test_causes_come_in_the_order_of_their_gravity() -> None:
    own = Own(
        store_error="no answer",
        store_since=0.0,
        refusal="reload refused: x",
        crashed=["watchdog: ValueError"],
        stuck=["mail"],
        absent=[2],
        held_back={"mail": "no thread"},
    )
    late = Cause(name="a_limit_of_a_later_release", sentence="x", queue="web")
    failing = Cause(name="failing", sentence="x", queue="web")
    names = [each.name for each in of_daemon(own, [late, failing])]
    assert names == [
        "degraded",
        "stuck",
        "crashed",
        "process_down",
        "held_back",
        "a_limit_of_a_later_release",
        "failing",
        "reload_refused",
    ]
    assert len(of_daemon(own, of_daemon(own))) == len(of_daemon(own))  # told once
    assert of_daemon(Own()) == []
    assert of_daemon(own)[0].line == (
        "degraded: no answer, since 1970-01-01T00:00:00.000Z. [asyncmq store info]"
    )


def test_what_does_not_know_since_when_is_dated_by_the_first_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who comes back begins anew, and another error of a duty is another cause."""
    now = [0.0]
    monkeypatch.setattr(clock, "wall", lambda: now[0])
    noticed = Noticed()

    def since(*crashed: str) -> list[str]:
        own = Own(crashed=crashed, stuck=["mail"], refusal="x", refused_since=5.0)
        return [str(each.since)[17:19] for each in of_daemon(own, noticed=noticed)]

    assert since("sweep: OSError") == ["00", "00", "05"]
    now[0] = 10.0
    assert since("sweep: OSError") == ["00", "00", "05"]
    assert since("sweep: KeyError") == ["00", "10", "05"]
    now[0] = 20.0
    assert since("sweep: OSError") == ["00", "20", "05"]
