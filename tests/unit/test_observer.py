"""The observer tells each listener what it wants to hear, and calls nobody for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from asyncmqd.observe.listeners import Ended, Kind, Listener, job_fields
from asyncmqd.observe.observer import Observer

CLAIM = Claim(queue="mail", id="j1", payload=b"", token=1, worker="w#1", failures=0)
DONE = Change(queue="mail", id="j1", edge="succeed", token=1)
KIND = ("mail", "succeed", "send")


class Events(Listener):
    """Hears of events."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def event(self, name: str, fields: dict[str, Any]) -> None:
        self.heard.append((name, fields))


class Runs(Listener):
    """Hears of the runs of jobs."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def started(self, claim: Claim, task: str) -> None:
        self.heard.append((claim.id, task))

    def changes(self, applied: Mapping[Kind, Ended]) -> None:
        self.heard += applied.items()


def test_each_listener_hears_what_it_asked_for() -> None:
    events, runs = Events(), Runs()
    observer = Observer([events, runs])
    observer.event("queue.started", queue="mail", rate_limit=None)
    observer.started(CLAIM, "send")
    observer.about(CLAIM, "send", "job.stuck", "no end")
    observer.change(DONE, CLAIM, "send", 0.5)
    fields = {**job_fields(CLAIM, "send"), "reason": "no end"}
    assert events.heard == [("queue.started", {"queue": "mail"}), ("job.stuck", fields)]
    assert runs.heard == [("j1", "send"), (KIND, [(DONE, CLAIM, 0.5)])]
    assert observer.totals == {("mail", "succeed"): 1}


def test_nobody_is_called_for_what_nobody_hears() -> None:
    observer = Observer([Listener(), Events()])
    assert (len(observer._event), len(observer._started), len(observer._changes)) == (1, 0, 1)
