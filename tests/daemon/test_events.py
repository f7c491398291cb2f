"""What watchers see of real daemons: by `asyncmq watch`, from several processes, after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.conftest import mostly_on
from tests.daemon.family import LONG_LEASES
from tests.daemon.harness import Store, until

SCRIPT = Path(sys.executable).with_name("asyncmq")
QUEUES = "[queues.mail]\nconcurrency = 5\n[queues.web]\n"

Event = dict[str, Any]


def asyncmq(url: str, *arguments: str) -> None:
    environ = {**os.environ, "ASYNCMQD_BACKEND": url}
    subprocess.run([SCRIPT, *arguments], env=environ, check=True, capture_output=True)


def _mind_interrupts() -> None:
    """What a shell runs in the background ignores them, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Watcher:
    """`asyncmq watch`, and the lines that it has printed."""

    def __init__(self, url: str, *arguments: str) -> None:
        environ = {**os.environ, "ASYNCMQD_BACKEND": url}
        self.process = subprocess.Popen(
            [SCRIPT, "watch", *arguments],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_mind_interrupts,  # noqa: PLW1509 - it calls nothing that takes a lock
        )
        self.events: list[Event] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.events.extend(json.loads(line) for line in self.process.stdout)

    def all(self, name: str, **fields: object) -> list[Event]:
        return [
            each
            for each in list(self.events)
            if each["event"] == name and fields.items() <= each.items()
        ]

    def until(self, name: str, **fields: object) -> Event:
        return until(lambda: self.all(name, **fields))[0]

    def close(self) -> None:
        self.process.kill()
        self._reader.join()
        self.process.communicate()

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait()


@pytest.fixture
def watch() -> Iterator[Callable[..., Watcher]]:
    made: list[Watcher] = []

    def make(url: str, *arguments: str) -> Watcher:
        made.append(Watcher(url, *arguments))
        return made[-1]

    yield make
    for each in made:
        each.close()


def listened(store: Store, watcher: Watcher) -> None:
    """Until a daemon tells: what the first of several jobs does may be over before that."""

    def told() -> bool:
        store.add("web", "mark", [f"first{len(watcher.events)}-{os.urandom(3).hex()}"])
        return bool(watcher.all("job.completed", queue="web"))

    until(told)


def test_watch_shows_what_happens_in_a_daemon(daemon, store, watch):
    d = daemon(store.url, QUEUES).start()
    everything = watch(store.url)
    listened(store, everything)
    failures = watch(store.url, "mail", "--event", "job.fail", "--event", "queue.")
    store.add("mail", "mark", ["a"])
    done = everything.until("job.completed", job_id="a")
    assert (done["queue"], done["task"], done["attempt"]) == ("mail", "mark", 1)
    assert done["duration_ms"] >= 0

    def heard() -> list[Event]:  # it may not have begun to watch when the first one comes
        asyncmq(store.url, "queue", "pause", "mail", "--reason", "moving")
        return failures.all("queue.paused")

    paused = until(heard)[0]
    assert (paused["queue"], paused["reason"]) == ("mail", "moving")
    assert everything.until("queue.paused")["by"] == paused["by"] != ""
    assert {each["event"] for each in failures.events} == {"queue.paused"}
    store.add("mail", "mark", ["b"])
    asyncmq(store.url, "job", "cancel", "b", "--reason", "twice")
    begun = everything.until("operation.begun")
    assert (begun["action"], begun["queue"], begun["reason"]) == ("cancel", "mail", "twice")
    assert (everything.end(), failures.end()) == (0, 0)
    assert d.stop() == 0


@mostly_on("valkey9")
def test_a_watcher_goes_on_where_it_was(daemon, store, watch):
    """Of a daemon that was killed meanwhile, too; what it had to tell is told by the next one."""
    d = daemon(store.url, QUEUES, top=LONG_LEASES).start()
    listened(store, watch(store.url))  # somebody watches all the time, however long a start takes
    first = watch(store.url)
    listened(store, first)
    store.add("mail", "hold", ["a"])
    position = first.until("job.started", job_id="a")["position"]
    first.end()
    d.kill()
    d.start()
    d.open_gate()
    second = watch(store.url, "mail", "--after", position)
    second.until("job.completed", job_id="a")
    names = [each["event"] for each in second.events if each.get("job_id") == "a"]
    assert names == ["job.recovered", "job.started", "job.completed"]
    assert not second.all("events.missed")
    third = watch(store.url, "--after", "1-5")
    assert "missed" not in third.until("events.missed")
    wrong = watch(store.url, "--after", "yesterday")
    assert wrong.process.wait() == 2


@mostly_on("sqlite")
def test_all_processes_of_a_daemon_tell(daemon, store, watch):
    d = daemon(store.url, QUEUES, top="processes = 2").start()
    everything = watch(store.url, "mail")
    listened(store, watch(store.url, "web"))

    def both() -> bool:
        store.add("mail", "mark", [os.urandom(4).hex() for _ in range(20)])
        return len({each["worker"] for each in everything.all("job.completed")}) == 2

    until(both)
    assert d.stop() == 0


def test_nothing_is_stored_while_nobody_watches(daemon, store):
    d = daemon(store.url, QUEUES).start()
    store.add("mail", "mark", ["a"])
    d.wait_for("job.completed", job_id="a")
    assert store.do(lambda backend: backend.publish([])) is False
    assert d.stop() == 0
