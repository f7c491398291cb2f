"""Applications set up logs in their own ways; ours stands on none of what they set."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.daemon.harness import COMMAND, Store, run_each
from tests.scale import scaled

SETUPS = (
    "nothing",
    "default_factory",
    "cached",
    "json_only",
    "json_bytes",
    "stdlib",
    "formatter",
    "broken",
    "prints_to_logging",
    "first_streams",
)
# More than one process, and children of their own, for some of them.
ALSO = dict.fromkeys(scaled(["stdlib"], ["default_factory", "stdlib"]), "processes = 2\n")
TASKS = ("speak", "speak_thread")
ALSO_IN_CHILDREN = scaled(("cached", "stdlib"), ("nothing", "cached", "stdlib"))


@pytest.mark.parametrize("setup", SETUPS)
def test_whatever_an_application_sets_up_its_jobs_are_heard_and_sigterm_is_obeyed(
    daemon, file: Store, setup: str
) -> None:
    # The first streams are those that Python itself has made.
    real = {"command": COMMAND} if setup == "first_streams" else {}
    d = daemon(
        file.url,
        "[queues.mail]\n",
        tasks=["outspoken"],
        top=ALSO.get(setup, ""),
        environ={"SETUP": setup},
        **real,
    )
    tasks = (*TASKS, "speak_process") if setup in ALSO_IN_CHILDREN else TASKS
    run_each(d, file, "mail", tasks)
    for name in tasks:
        _judge(setup, name, d.events)


def _judge(setup: str, job: str, events: list[dict[str, Any]]) -> None:
    """Each thing that was said is there, once for each who was told to say it, with the id."""
    said = Counter({"by job": 1, "by logging": 1, "by print": 1, "by first stream": 1})
    if setup != "broken":
        said += Counter({"early structlog": 1, "late structlog": 1})
    if setup == "prints_to_logging":  # the application has a handler of its own beside ours
        said += Counter({"by logging": 1, "by print": 1})
    if setup == "first_streams":  # a descriptor does not tell whose a line is
        del said["by print"]
        assert [e for e in events if e["event"] == "by print" and e["stream"] == "stdout"]
    lines = [str(e) for e in events if e.get("job_id") == job and e["task"] == job]
    assert {each: sum(each in line for line in lines) for each in said} == said


LATE = """
import importlib.util
import sys
from asyncmqd import task

HEAVY = ("structlog", "rich", "typer", "pydantic")

assert importlib.util.find_spec("structlog")  # who only looks does not import it

def say():
    import structlog
    structlog.get_logger().warning("said late", color="red")
    return HEAVY_BEFORE

@task(name="here")
async def here():
    return say()

@task(name="child", executor="process")
def child():
    return say()

HEAVY_BEFORE = [each for each in HEAVY if each in sys.modules]
"""


@pytest.mark.parametrize("task", ["here", "child"])
def test_structlog_is_imported_late_or_never_and_leads_into_our_log(
    daemon, file: Store, task: str
) -> None:
    """What no part of the application imports is not paid for by a start."""
    d = daemon(file.url, "[queues.mail]\n", tasks=["late"], command=COMMAND)
    (d.place / "late.py").write_text(LATE)
    run_each(d, file, "mail", [task])
    (line,) = d.all("said late")
    assert (line["job_id"], line["level"], line["color"]) == (task, "warning", "red")
    assert file.get("mail", task).result == b"[]"
