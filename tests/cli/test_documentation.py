"""docs/commands.md tells of every command, option and key, and of nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from asyncmqd.backends.base import ScheduleRecord, WorkerRecord
from asyncmqd.cli.asyncmq import app
from asyncmqd.cli.views import counts_view, job_view, schedule_view, worker_view
from asyncmqd.domain.job import Counts, Record

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
    ("name", "view"),
    [
        ("asyncmq job list", job_view(Record(queue="q", id="i", place="waiting", payload=b"{}"))),
        ("asyncmq queue list", counts_view("q", Counts())),
        (
            "asyncmq schedule list",
            schedule_view(
                ScheduleRecord(queue="q", name="n", spec=b"", declared=0.0, seen=0.0, last=0.0), 0.0
            ),
        ),
        ("asyncmq worker list", worker_view(WorkerRecord(id="w", info=b"", started=0.0, seen=0.0))),
    ],
)
def test_every_json_key_is_documented(name: str, view: dict[str, Any]) -> None:
    text = section(name)
    missing = [key for key in view if f"`{key}`" not in text]
    assert missing == []
    assert msgspec.json.encode(view)
