"""A job by the name of its task has the key, the unique name and the cost that this declares."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncmqd.client.result_waits import served_queues
from asyncmqd.domain.codec import decode_spec
from asyncmqd.domain.job import Record
from asyncmqd.domain.states import State
from tests.daemon.conftest import mostly_on
from tests.daemon.harness import APPLICATION, Daemon, Store, until

Make = Callable[..., Daemon]

SCRIPT = Path(sys.executable).with_name("asyncmq")  # what pip installed
PAUSED = "[queues.mail]\nglobal_concurrency = 0\n"  # what is enqueued can be looked at
BILL = [17, "2026-12-01", "1.5"]


def asyncmq(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=60)


def decided(record: Record) -> tuple[object, ...]:
    """What the declaration of a task decides of a job."""
    spec = decode_spec(record.payload, len(record.payload), id=record.id)
    options = (spec.unique, spec.unique_while, spec.on_conflict, spec.ttl, spec.cost)
    return (record.key, record.unique, record.priority, spec.args, *options)


@pytest.fixture
def d(daemon: Make, store: Store) -> Daemon:
    return daemon(store.url, PAUSED, tasks=["declaring"]).start()


BY_TASK = """
import datetime, decimal, sys
from declaring import bill
job = bill.options(backend=sys.argv[1], queue="mail", job_id="python")
job.enqueue_sync(17, datetime.date(2026, 12, 1), decimal.Decimal("1.5"))
"""


@mostly_on("sqlite")
def test_it_is_the_same_job_as_by_the_task_itself(d: Daemon, store: Store) -> None:
    def purge() -> None:
        store.do(lambda backend: backend.purge("mail", State.WAITING))

    subprocess.run([sys.executable, "-c", BY_TASK, store.url], check=True, cwd=APPLICATION)
    wanted = decided(store.get("mail", "python"))
    assert wanted[0] == "17"
    purge()
    job = d.ask("enqueue", queue="mail", task="bill", args=BILL, id="socket")
    assert (job["id"], job["existed"]) == ("socket", False)
    assert decided(store.get("mail", "socket")) == wanted
    other = d.ask("enqueue", queue="mail", task="bill", args=[17, "2026-12-31", "2"], id="later")
    assert (other["id"], other["existed"], other["replaced"]) == ("socket", True, True)
    purge()
    line = ("--config", str(d.config), "enqueue", "bill", "-q", "mail", "--args", json.dumps(BILL))
    answer = asyncmq(*line, "--id", "line")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "line\n", "")
    assert decided(store.get("mail", "line")) == wanted
    again = asyncmq(*line, "--id", "more")
    assert (again.returncode, again.stdout) == (0, "line\n")
    assert "it has these arguments now" in again.stderr

    check_refusals(d)


@mostly_on("sqlite")
def test_a_daemon_of_several_processes_asks_one_of_them(daemon: Make, store: Store) -> None:
    """Its own process has no code of the application."""
    d = daemon(store.url, PAUSED, tasks=["declaring"], top="processes = 2\n").start()
    d.ask("enqueue", queue="mail", task="bill", args=BILL, id="socket")
    assert decided(store.get("mail", "socket"))[0] == "17"
    check_refusals(d)


@mostly_on("sqlite")
@pytest.mark.parametrize("top", ["", "processes = 2\n"])
def test_a_name_that_nobody_serves_is_told(daemon: Make, store: Store, top: str) -> None:
    """The job is enqueued all the same: its release may still come."""
    d = daemon(store.url, PAUSED, tasks=["declaring"], top=top).start()
    until(lambda: store.do(served_queues))  # before that, the daemon might still be on its way
    assert d.ask("enqueue", queue="mail", task="bill", args=BILL)["warning"] == ""
    task = d.ask("enqueue", queue="mail", task="bil", id="task")["warning"]
    assert task.startswith("task bil in queue mail: ")
    assert "bill" in task
    queue = d.ask("enqueue", queue="mial", task="bill", args=BILL, id="queue")["warning"]
    assert queue.startswith("queue mial: nobody serves it now")
    assert "mail" in queue
    assert store.get("mail", "task").id == "task"
    assert store.get("mial", "queue").id == "queue"


def check_refusals(d: Daemon) -> None:
    """Calls that do not fit, and rules that fail, are told with the parameter."""

    def error(task: str, *args: object) -> str:
        with pytest.raises(AssertionError) as refused:
            d.ask("enqueue", queue="mail", task=task, args=list(args))
        return str(refused.value)

    assert "bill: missing a required argument: 'day'" in error("bill", 17)
    assert "bill: argument 'day'" in error("bill", 17, "soon", "1")
    assert "cost: its function: expected" in error("bill", 17, "2026-12-01", "0")
    broken = error("broken_key", 3)
    assert "KeyError: 3 (raised by the function that task broken_key has as its key)" in broken
