"""The observer tells each listener what it wants to hear, and calls nobody for nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from asyncmqd.observe.listeners import Ended, Kind, Listener, LogLines, job_fields
from asyncmqd.observe.observer import Observer
from tests.logs import log_to

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


@pytest.mark.parametrize("duration", [None, 0.0015])
@pytest.mark.parametrize(
    "labels",
    [None, {"job_key": "t7"}, {"trace_id": "5e"}, {"job_key": "t7", "trace_id": "5e"}],
    ids=str,
)
def test_the_line_of_an_end_has_all_that_names_the_run(
    labels: dict[str, str] | None, duration: float | None, tmp_path: Path
) -> None:
    claim = msgspec.structs.replace(CLAIM, labels=labels)
    with (tmp_path / "log").open("w") as stream, log_to(stream, format="json") as writer:
        LogLines().changes({KIND: Ended([(DONE, claim, duration)])})
        writer.finish()
    line = json.loads((tmp_path / "log").read_text())
    took = {} if duration is None else {"duration_ms": 1.5}
    expected = {**job_fields(claim, "send"), **took, "level": "info", "event": "job.completed"}
    assert {name: line[name] for name in line if name != "timestamp"} == expected
