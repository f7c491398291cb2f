"""A producer hears of a task that is probably none, where its process can know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asyncmqd import Queue, connect, task
from asyncmqd.backends import InMemoryBackend
from asyncmqd.client import task_lookup


@task(name="known.thank")
async def thank(address: str) -> None: ...


@pytest.fixture(autouse=True)
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setattr(task_lookup, "_told", set())
    connect(InMemoryBackend())
    return Queue("mail")


async def test_a_name_that_is_nearly_known_is_warned_of_once(queue: Queue) -> None:
    with pytest.warns(
        RuntimeWarning, match="'known.thnk' is not known here: .* 'known.thank'"
    ) as w:
        await queue.add("known.thnk")
    assert w[0].filename == __file__
    await queue.add("known.thnk")
    with pytest.warns(RuntimeWarning, match="did you mean 'known.thank'") as w:
        queue.add_repeatable("known.thankk", every=60)
    assert w[0].filename == __file__
    assert (await queue.counts()).waiting == 2  # a daemon with other code may know it


async def test_a_task_of_other_code_is_added_without_a_word(queue: Queue) -> None:
    assert (await queue.add("other.service.work")).task == "other.service.work"


def test_a_schedule_whose_arguments_do_not_fit_is_refused_where_it_is_declared(
    queue: Queue,
) -> None:
    for given in (thank, "known.thank"):
        with pytest.raises(TypeError, match=r"thank: missing a required argument: 'address'"):
            queue.add_repeatable(given, every=60)
    queue.add_repeatable(thank, every=60, args=["a@example.org"])


SCRIPT = """
import asyncio
from asyncmqd import connect, task{more}
@task{options}
async def work(): ...
connect({store!r})
for _ in range(2):
    asyncio.run(work.enqueue())
"""


@pytest.mark.parametrize(
    ("more", "options", "store", "warned"),
    [
        ("", "", "sqlite:///{place}/jobs.db", True),
        ("", "(name='shop.work')", "sqlite:///{place}/jobs.db", False),
        (", run_worker", "", "sqlite:///{place}/jobs.db", False),
        ("", "", "memory://x", False),
    ],
)
def test_a_task_of_the_program_itself(
    tmp_path: Path, more: str, options: str, store: str, warned: bool
) -> None:
    script = tmp_path / "script.py"
    url = store.format(place=tmp_path)
    script.write_text(SCRIPT.format(more=more, options=options, store=url))
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert ran.stderr.count("task __main__.work is named after the program") == warned
