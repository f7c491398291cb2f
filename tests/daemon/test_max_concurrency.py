"""`max_concurrency`: the jobs of all queues of a daemon, with real processes and stores."""

from __future__ import annotations

from typing import Any

import pytest

from asyncmqd.admin import queues, why
from asyncmqd.admin.claim_obstacles import Reason
from tests.daemon.family import TWO
from tests.daemon.harness import Store, until
from tests.daemon.test_shared_limits import most_at_once
from tests.scale import scaled

BOTH = '[queues.mail]\nweight = 3\n[queues.web]\nexecutor = "{}"\n'


def cap(slots: int) -> str:
    return f"max_concurrency = {slots}\n"


@pytest.mark.parametrize(("kind", "executor"), [("file", "thread"), ("server", "process")])
def test_no_more_jobs_run_than_the_daemon_may_and_a_reload_changes_that(
    request: pytest.FixtureRequest, daemon: Any, kind: str, executor: str
) -> None:
    store = Store(request.getfixturevalue(kind).url)
    d = daemon(store.url, BOTH.format(executor), top=cap(5)).start()
    store.add("mail", "hold", [f"m{number}" for number in range(10)])
    until(lambda: len(d.lines("began")) == 4)
    store.add("web", "hold_thread", [f"w{number}" for number in range(10)])
    until(lambda: len(d.lines("began", "web")) == 1)

    def busy() -> Reason | None:
        """From the first heartbeat on."""
        reason = store.do(lambda backend: why.queue(backend, "web"))
        return reason if reason.name == "daemon_slots_busy" else None

    reason = until(busy)
    assert reason is not None
    assert "max_concurrency is 5 for 2 queues, and the weight of this one is 1" in reason.sentence
    (shown,) = store.do(lambda backend: queues.show(backend, "mail")).daemon_slots
    assert (shown.max_concurrency, shown.weight, shown.weights) == (5, 3, 4)
    status = d.ask("status")
    assert (status["running"], status["max_concurrency"]) == (5, 5)
    assert [status["queues"][name]["waits"] for name in ("mail", "web")] == [True, True]
    told = d.cli("status").stdout
    assert "slots  5 of 5 in use by all queues together\n" in told
    assert told.count("waits for a slot of the daemon") == 2
    d.configure(BOTH.format(executor), cap(8))
    assert d.ask("reload")["lines"] == ["~ max_concurrency: 5 -> 8"]
    until(lambda: len(d.lines("began", "mail")) == 6)
    until(lambda: len(d.lines("began", "web")) == 2)
    d.configure(BOTH.format(executor).replace("weight = 3\n", ""))
    d.ask("reload")
    until(lambda: len(d.lines("began")) == 20)
    d.open_gate()
    until(lambda: len(d.lines()) == 20)
    assert d.ask("status")["max_concurrency"] is None


@pytest.mark.parametrize("kind", scaled(["file"], ["file", "server"]))
def test_the_slots_are_dealt_to_the_processes(
    request: pytest.FixtureRequest, daemon: Any, place: Any, kind: str
) -> None:
    store = Store(request.getfixturevalue(kind).url)
    names = ("mail", "news", "web")
    served = "".join(f"[queues.{name}]\n" for name in names)
    d = daemon(store.url, served, top=TWO + cap(5)).start()
    for name in names:
        store.add(name, "nap", [f"{name}{number}" for number in range(20)], 0.02)
    until(lambda: len(d.lines()) == 60)
    assert most_at_once(place) <= 5
    status = d.ask("status")
    assert status["max_concurrency"] == 5
    hosted = sorted(len(each["queues"]) for each in status["processes"])
    assert hosted == [1, 2], "a process serves no more queues than it has slots"
    for name in names:
        store.add(name, "hold", [f"{name}-{number}" for number in range(20)])
    until(lambda: len(d.lines("began")) == 65)
    d.configure(served, TWO + cap(12))
    d.ask("reload")
    until(lambda: len(d.lines("began")) == 72)
    assert d.ask("status")["running"] == 12
    d.open_gate()
    until(lambda: len(d.lines()) == 120)


def test_a_queue_that_a_reload_adds_gets_the_next_slot(daemon: Any, file: Any) -> None:
    d = daemon(file.url, "[queues.mail]\n", top=cap(2)).start()
    file.add("web", "mark", ["w"])
    file.add("mail", "nap", [f"m{number}" for number in range(60)], 0.05)
    until(lambda: d.lines("began"))
    d.configure("[queues.mail]\n[queues.web]\n", cap(2))
    d.ask("reload")
    until(lambda: d.lines(queue="web") == ["w"])
    assert len(d.lines(queue="mail")) < 60


def test_values_that_contradict_each_other_are_named(daemon: Any, file: Any) -> None:
    d = daemon(file.url, "[queues.a]\n[queues.b]\n[queues.c]\n", top="processes = 4\n" + cap(2))
    told = d.cli("check")
    assert told.returncode == 78
    assert told.stderr.splitlines() == [
        f"{d.config}:6: max_concurrency: expected a slot for each {what}"
        for what in (
            "of the `processes` at least, got 2 for 4",
            "queue at least, got 2 for 3 queues",
        )
    ]
    d.configure("[queues.a]\nweight = 3\n")
    assert d.cli("check").stderr == (
        f"{d.config}:7: queues.a.weight: expected max_concurrency beside it, above the first"
        " [table], got a weight of 3 alone\n"
    )
    d.configure("[queues.a]\n", cap(0))
    problem = "max_concurrency: expected a whole number from 1 to 1000000, got 0"
    assert d.cli("check").stderr == f"{d.config}:5: {problem}\n"
    d.configure("[queues.a]\nweight = 0\n", cap(2))
    assert "queues.a.weight: expected a whole number from 1 to 1000, got 0" in d.cli("check").stderr
