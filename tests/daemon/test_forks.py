"""What the code of a job forks is the application's own: it ends nothing of ours, and has none."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import psutil
import pytest

from tests.daemon.family import MAIL, TWO, gone, runners
from tests.daemon.harness import COMMAND, Store, until
from tests.scale import scaled

BOTH = ["", TWO]  # the daemon is one process, or two
FORKING = {"tasks": ("ledger", "forking")}


def result_of(store: Store, id: str) -> Any:
    return json.loads(store.get("mail", id).result or b"null")


def run_all(d: Any, store: Store, tasks: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """The results of one job of each task; they run one after the other."""
    for task, arguments in tasks.items():
        store.add("mail", task, [task], *arguments)
        d.wait_for("job.completed", job_id=task)
    return {task: result_of(store, task) for task in tasks}


@pytest.mark.parametrize("top", scaled([""], BOTH))
def test_pools_of_every_kind_in_every_executor_and_the_daemon_lives_on(daemon, file, top):
    # Pools begin anew from what the interpreter was told.
    d = daemon(file.url, MAIL, top=top, command=COMMAND, **FORKING).start()
    ways = ("pool", "pool_thread", "pool_process")
    ids = [f"{way}-{method}" for way in ways for method in ("fork", "forkserver", "spawn")]
    for id in ids:
        file.add("mail", id.split("-")[0], [id], id.split("-")[1])
    file.add("mail", "futures_thread", ["futures"])
    for id in [*ids, "futures"]:
        d.wait_for("job.completed", job_id=id, limit=100)
        assert result_of(file, id) == [0, 1, 4, 9]
    # What a server of forks prints belongs to no job. A line may come after the end of its job.
    for id in [id for id in ids if id.endswith("-fork")]:
        d.wait_for("squared 3", job_id=id)
    assert not d.all("daemon.draining")
    assert d.stop() == 0
    d.wait_for("daemon.stopped")


@pytest.mark.parametrize("top", scaled([""], BOTH))
def test_a_child_ends_as_it_says_and_its_parent_goes_on(daemon, file, top):
    d = daemon(file.url, MAIL, top=top, **FORKING).start()
    ways = (
        "exits",
        "exits_thread",
        "exits_to_thread",
        "exits_pool_of_threads",
        "exits_process",
        "exits_async_process",
        "exits_to_thread_process",
    )
    results = run_all(d, file, dict.fromkeys(ways, (7,)) | {"exits_below": (7,)})
    assert results.pop("exits_below") == [7, 7]
    assert results == dict.fromkeys(ways, 7)
    assert not d.all("daemon.draining")
    assert not d.all("process.ended")
    assert d.stop() == 0


@pytest.mark.parametrize("way", ["returns", "raises", "awaits"])
def test_a_child_that_forgets_what_it_is_ends_all_the_same(daemon, file, way):
    """It would run the loop, the jobs and the shutdown of its parent a second time."""
    d = daemon(file.url, MAIL, **FORKING).start()
    tasks = ["comes_back"] + (
        [] if way == "awaits" else ["comes_back_thread", "comes_back_process"]
    )
    results = run_all(d, file, dict.fromkeys(tasks, (way,)))
    assert results == dict.fromkeys(tasks, 0 if way == "returns" else 1)
    if way == "raises":
        assert any("ValueError: in the child" in e["event"] for e in d.events)
    if way == "awaits":
        assert not d.lines("went")
        assert any("may not await" in e["event"] for e in d.events)
    file.add("mail", "mark", ["after"])
    until(lambda: d.lines() == ["after"])
    assert d.stop() == 0


@pytest.mark.parametrize("top", scaled([TWO], BOTH))
def test_a_child_has_nothing_of_ours(daemon, store, top):
    d = daemon(store.url, MAIL, top=top, **FORKING).start()
    tasks = ("stand", "stand_thread", "stand_process")
    for task, stand in run_all(d, store, dict.fromkeys(tasks, ())).items():
        assert (task, stand["SigCgt"], stand["SigBlk"], stand["SigIgn"]) == (task, [], [], [])
        held = [name for name in stand["held"] if "lock" in name or "socket" in name]
        assert not [name for name in held if name.endswith(".lock")], task
        # What a child's lines leave by.
        assert len(held) <= 1, (task, stand["held"])
    assert d.stop() == 0


def test_a_daemon_that_is_killed_starts_again_beside_a_child_that_lives(daemon, store):
    d = daemon(store.url, MAIL, **FORKING).start()
    store.add("mail", "leave_child", ["parent"])
    d.wait_for("job.completed", job_id="parent")
    child = result_of(store, "parent")
    d.kill()
    os.kill(child, 0)
    d.start()
    store.add("mail", "mark", ["after"])
    until(lambda: d.lines() == ["after"])
    os.kill(child, 0)
    d.open_gate()
    until(lambda: gone(child))
    assert d.stop() == 0


def test_a_signal_to_a_child_is_none_to_the_daemon(daemon, file):
    """A HUP would reload, a USR1 dump, a TERM drain it."""
    d = daemon(file.url, MAIL, **FORKING).start()
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
        file.add("mail", "leave_child", [number.name])
        d.wait_for("job.completed", job_id=number.name)
        child = result_of(file, number.name)
        os.kill(child, number)
        until(lambda child=child: gone(child))
    file.add("mail", "mark", ["after"])
    until(lambda: d.lines() == ["after"])
    told = {event["event"] for event in d.events}
    assert not told & {"daemon.reloading", "daemon.state", "daemon.draining"}
    assert d.stop() == 0


def test_lines_of_children_neither_tear_nor_repeat_others(daemon, file):
    """Longer than what a pipe takes in one piece; `Daemon` reads every line as JSON."""
    d = daemon(file.url, MAIL, **FORKING).start()
    for task in ("chat_thread", "chat_process"):
        file.add("mail", task, [task], 50, 6_000)
        d.wait_for("job.completed", job_id=task)
        for name in (*"01", "p"):
            whole = [f"{name}.{line} ".ljust(6_000, ".") for line in range(50)]
            told = d.wait_for(whole[-1], job_id=task) and [
                e["event"]
                for e in list(d.events)
                if e["event"].startswith(f"{name}.") and e["job_id"] == task
            ]
            assert told == whole
        d.wait_for("logged in a child", 2, job_id=task)
        d.wait_for("unfinished", 2, job_id=task)
    assert d.stop() == 0


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_child_may_enqueue(daemon, server, way):
    store = Store(server.url)
    d = daemon(store.url, MAIL, **FORKING).start()
    store.add("mail", "enqueue_in_child", ["parent"], way)
    d.wait_for("job.completed", job_id="parent")
    assert result_of(store, "parent") == 0, d.events
    until(lambda: d.lines() == [f"parent-{way}"])
    assert d.stop() == 0


# ---------------------------------------------------------------------- child processes of ours


@pytest.mark.parametrize("task", ["dies_beside_a_program", "closes_all"])
def test_the_end_of_a_child_frees_its_slot_whoever_holds_its_socket(daemon, file, task):
    d = daemon(file.url, "[queues.mail]\nconcurrency = 1\n", **FORKING).start()
    file.add("mail", task, ["victim"])
    d.wait_for("job.quarantined", job_id="victim")
    file.add("mail", "mark", ["after"])
    until(lambda: d.lines() == ["after"])
    d.open_gate()
    assert d.stop() == 0


@pytest.mark.parametrize(
    ("task", "top", "end"),
    [
        ("begin_family_process", "", "dies"),
        ("begin_family_process", "", "is killed"),
        ("begin_family", TWO, "dies"),
        ("begin_family_process", TWO, "parent dies"),
    ],
)
def test_what_a_job_has_started_ends_with_its_child_process(daemon, file, place, task, top, end):
    """The workers of a pool would wait for ever for a parent that is no more."""
    d = daemon(file.url, MAIL, top=top, **FORKING).start()
    file.add("mail", task, ["job"])
    until(lambda: d.lines("began") == ["job"])
    family = json.loads((place / "family").read_text())
    file.do(lambda backend: backend.pause("mail", True))  # a second family would outlive the test
    if end != "is killed":
        (child,) = runners(d)
        ends = psutil.Process(child).ppid() if end == "parent dies" else child
        os.kill(ends, signal.SIGKILL)
    else:
        d.signal(signal.SIGTERM)
        d.wait_for("daemon.draining")
        d.signal(signal.SIGTERM)
    until(lambda: all(gone(each) for each in family))


@pytest.mark.parametrize("top", scaled([TWO], BOTH))
def test_signals_that_whoever_started_us_has_blocked_arrive(daemon, file, top):
    blocked = "import os, signal, sys; signal.pthread_sigmask(0, signal.valid_signals());"
    start = f"{blocked} os.execv(sys.executable, [sys.executable, '-m', 'asyncmqd', *sys.argv[1:]])"
    d = daemon(file.url, MAIL, top=top, command=(sys.executable, "-c", start), **FORKING).start()
    assert run_all(d, file, {"end_of_programs": ()}) == {"end_of_programs": 3}
    d.signal(signal.SIGHUP)
    d.wait_for("daemon.reloaded")
    assert d.stop() == 0


def test_a_thread_forks_while_the_loop_starts_programs(daemon, file):
    """uvloop's own way makes of some such children what the program was to become."""
    d = daemon(file.url, MAIL, **FORKING).start()
    assert run_all(d, file, {"forks_beside_programs": (4,)}) == {"forks_beside_programs": [1] * 4}
    assert d.stop() == 0


def test_a_term_ends_the_programs_of_a_job_in_a_child_process(daemon, file):
    d = daemon(file.url, MAIL, **FORKING).start()
    assert run_all(d, file, {"terminates": ()}) == {"terminates": -signal.SIGTERM}
    assert d.stop() == 0


@pytest.mark.parametrize("task", ["context", "context_thread", "context_process"])
def test_a_job_sees_no_context_variable_of_the_one_before(daemon, file, task):
    d = daemon(file.url, "[queues.mail]\nconcurrency = 1\n", **FORKING).start()
    for id in ("one", "two"):
        file.add("mail", task, [id])
        d.wait_for("job.completed", job_id=id)
        assert result_of(file, id) == "nothing"
    assert d.stop() == 0
