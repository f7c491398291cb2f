"""docs/commands.md tells of every command, option and key, and of nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from asyncmqd.admin.backfill import Backfill, PastInstant
from asyncmqd.admin.claim_obstacles import Reason
from asyncmqd.admin.jobs import ExplainedJob, JobView, job_view
from asyncmqd.admin.overview import DaemonLine, JobLine, Overview, QueueLine
from asyncmqd.admin.queues import ListedQueue, NextJob, PauseView, QueueCounts, QueueView
from asyncmqd.admin.schedules import Foreseen, Preview, ScheduleView, schedule_view
from asyncmqd.admin.store import StoreView
from asyncmqd.admin.workers import WorkerView, worker_view
from asyncmqd.backends.base import ScheduleRecord, WorkerRecord
from asyncmqd.cli.asyncmq import app
from asyncmqd.domain.heartbeat import Load
from asyncmqd.domain.job import Record

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
TEXT = PAGE.read_text()


def commands(group: Any = None, path: str = "asyncmq") -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands())


def section(name: str) -> str:
    """What the page says under the command's heading."""
    found = re.search(rf"^### `{name}`\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert found, f"docs/commands.md has no heading for {name}"
    return found[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_all_its_options(name: str) -> None:
    text = section(name)
    assert re.search(rf"^\$ {name}\b", text, re.MULTILINE), "no example"
    for parameter in COMMANDS[name].params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                assert f"`{option}" in text, f"{option} is not told of"


def test_no_heading_without_a_command() -> None:
    assert set(re.findall(r"^### `(asyncmq .*?)`$", TEXT, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_is_invented(name: str) -> None:
    known = {option for each in COMMANDS[name].params for option in each.opts}
    assert set(re.findall(r"--[a-z][a-z-]*", section(name))) <= known


@pytest.mark.parametrize(
    ("name", "views"),
    [
        ("asyncmq job list", [JobView]),
        ("asyncmq job show", [ExplainedJob]),
        ("asyncmq job why", [Reason]),
        ("asyncmq queue list", [QueueCounts, ListedQueue, PauseView]),
        ("asyncmq queue show", [QueueView, NextJob]),
        ("asyncmq schedule list", [ScheduleView]),
        ("asyncmq schedule preview", [Preview, Foreseen]),
        ("asyncmq schedule backfill", [Backfill, PastInstant]),
        ("asyncmq worker list", [WorkerView, Load]),
        ("asyncmq store info", [StoreView]),
        ("asyncmq top", [Overview, QueueLine, DaemonLine, JobLine]),
    ],
)
def test_every_json_key_is_documented(name: str, views: list[type]) -> None:
    text = section(name)
    keys = [key for view in views for key in view.__annotations__]
    assert [key for key in keys if f"`{key}`" not in text] == []


@pytest.mark.parametrize(
    "view",
    [
        job_view(Record(queue="q", id="i", place="waiting", payload=b"{}")),
        schedule_view(
            ScheduleRecord(queue="q", name="n", spec=b"", declared=0.0, seen=0.0, last=0.0), 0.0
        ),
        worker_view(WorkerRecord(id="w", info=b"", started=0.0, seen=0.0)),
    ],
)
def test_what_the_store_knows_little_of_is_json_all_the_same(view: msgspec.Struct) -> None:
    assert msgspec.json.encode(view)
