"""Prints: whole lines, each its own job's."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from asyncmqd.observe.captured_streams import end_prints
from asyncmqd.observe.log import running_job
from tests.logs import captured, log_to


class Job:
    def __init__(self, id: str) -> None:
        self.fields = {"job_id": id}

    def keep(self, events: Any) -> None:
        """Its last lines are looked at elsewhere."""


class Log:
    def __init__(self, path: Path, writer: Any) -> None:
        self._path, self._writer = path, writer
        self.out = captured()

    def lines(self) -> list[tuple[str, str | None]]:
        """Text and job of each line so far."""
        self._writer.flush()
        events = map(json.loads, self._path.read_text().splitlines())
        return [(event["event"], event.get("job_id")) for event in events]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with (tmp_path / "log").open("w") as stream, log_to(stream, capture=True) as writer:
        yield Log(tmp_path / "log", writer)


def test_parts_become_a_line_at_its_end(log):
    print("one", end=" ", file=log.out)
    print("two", end="", file=log.out)
    assert log.lines() == []
    print(file=log.out)
    print("three\n\nfour", file=log.out)
    assert log.lines() == [("one two", None), ("three", None), ("four", None)]


async def test_jobs_that_take_turns_in_one_thread_do_not_mix(log):
    async def job(id: str) -> None:
        running_job.set(Job(id))
        for number in range(3):
            print(f"{id}{number}", end=",", file=log.out)
            await asyncio.sleep(0)
        print("end", file=log.out)

    await asyncio.gather(job("a"), job("b"))
    assert log.lines() == [("a0,a1,a2,end", "a"), ("b0,b1,b2,end", "b")]


def test_what_a_job_left_unfinished_is_its_own_line(log):
    def job(id: str) -> None:
        running_job.set(Job(id))
        print(f"of {id}", end="", file=log.out)

    for id in ("a", "b"):  # one thread runs one after the other
        context = copy_context()
        context.run(job, id)
        context.run(end_prints)
    print("of nobody", file=log.out)
    assert log.lines() == [("of a", "a"), ("of b", "b"), ("of nobody", None)]


def test_threads_do_not_mix(log):
    print("main", end="", file=log.out)
    thread = threading.Thread(target=print, args=("thread",), kwargs={"file": log.out})
    thread.start()
    thread.join()
    print(" ends", file=log.out)
    assert log.lines() == [("thread", None), ("main ends", None)]


def test_a_line_that_never_ends_does_not_grow_for_ever(log):
    for _ in range(30):
        print("." * 1_000, end="", file=log.out)
    lines = log.lines()
    assert [set(text) for text, _ in lines] == [{"."}, {"."}]
