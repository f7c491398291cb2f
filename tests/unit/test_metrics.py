"""What is counted on the way of a job, and the text that is made of it."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from asyncmqd.observe.listeners import Applied, Ended, Kind
from asyncmqd.observe.metrics import BOUNDS, RUN, RUNS, WAITS, Metrics, Sum
from asyncmqd.observe.observer import Observer
from asyncmqd.observe.prometheus_text import family, labels, of_counted


def applied(
    edge: str = "succeed",
    task: str = "shop.add",
    took: float | None = 0.002,
    waited: float = 0.5,
    failures: int = 0,
) -> tuple[Kind, Applied]:
    claim = Claim(queue="mail", id="x", token=1, payload=b"", age=waited, failures=failures)
    change = Change(queue="mail", id="x", edge=edge, token=1)
    return ("mail", edge, task), (change, claim, took)


def by_kind(*all: tuple[Kind, Applied]) -> dict[Kind, Ended]:
    found = defaultdict[Kind, Ended](Ended)
    for kind, each in all:
        found[kind].append(each)
    return found


def values(*processes: Metrics) -> dict[tuple[Any, ...], float]:
    """All samples of the text of these processes, as Prometheus reads it."""
    whole = Sum()
    for each in processes:
        whole.add(each.counted())
    text = "".join(of_counted(whole))
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for found in text_string_to_metric_families(text)
        for sample in found.samples
    }


def test_runs_are_counted_by_queue_task_and_outcome() -> None:
    metrics = Metrics()
    metrics.changes(
        by_kind(applied(), applied(), applied("fail"), applied("retry"), applied("update"))
    )
    found = values(metrics)
    assert found["asyncmqd_jobs_total", "completed", "mail", "shop.add"] == 2
    assert found["asyncmqd_jobs_total", "failed", "mail", "shop.add"] == 1
    assert found["asyncmqd_jobs_total", "mail", "retried", "shop.add"] == 1
    assert found["asyncmqd_job_run_seconds_count", "mail", "shop.add"] == 5
    assert not any("update" in key for key in found)


def test_a_bucket_has_what_is_not_longer_than_its_bound() -> None:
    metrics = Metrics()
    took = [0.0, 0.001, *(bound * 0.999 for bound in BOUNDS), 1e9]
    metrics.changes(by_kind(*(applied(took=each, waited=-5.0) for each in took)))
    found = values(metrics)
    for number, bound in enumerate(BOUNDS):
        expected = sum(each <= bound for each in took)
        assert found["asyncmqd_job_run_seconds_bucket", str(bound), "mail", "shop.add"] == expected
        assert expected == number + 3
    assert found["asyncmqd_job_run_seconds_bucket", "+Inf", "mail", "shop.add"] == len(took)
    assert abs(found["asyncmqd_job_run_seconds_sum", "mail", "shop.add"] - sum(took)) < 0.001


def test_only_first_attempts_have_a_waiting_time() -> None:
    metrics = Metrics()
    metrics.changes(
        by_kind(applied(waited=3.0), applied(waited=99.0, failures=1), applied(took=None))
    )
    found = values(metrics)
    assert found["asyncmqd_job_wait_seconds_count", "mail"] == 1
    assert found["asyncmqd_job_wait_seconds_sum", "mail"] == 3
    assert found["asyncmqd_jobs_total", "completed", "mail", "shop.add"] == 3


def test_tasks_that_nobody_knows_are_one() -> None:
    """Whoever enqueues could make a series for each job else."""
    metrics = Metrics()
    for number in range(100):
        metrics.changes(
            by_kind(applied("park", f"made.up{number}", None), applied("fail", "", None))
        )
    assert metrics.counted().keys == [("mail", "other")]
    assert values(metrics)["asyncmqd_jobs_total", "mail", "other", "parked"] == 100


def test_several_processes_are_one_sum() -> None:
    one, two = Metrics(), Metrics()
    one.changes(by_kind(applied(), applied("fail")))
    two.changes(by_kind(applied(), applied()))
    two.event("job.lease_lost", {"queue": "mail"})
    two.event("job.started", {"queue": "mail"})
    found = values(one, two)
    assert found["asyncmqd_jobs_total", "completed", "mail", "shop.add"] == 3
    assert found["asyncmqd_leases_lost_total", "mail"] == 1
    assert values(one)["asyncmqd_jobs_total", "completed", "mail", "shop.add"] == 1


def test_names_of_applications_break_no_line() -> None:
    strange = 'a"b\\c\nd'
    text = "".join(family("x", "gauge", "y.", [(labels(task=strange), 1)]))
    [found] = text_string_to_metric_families(text)
    assert found.samples[0].labels == {"task": strange}


def test_a_run_costs_few_instructions() -> None:
    """Of what counts, history included: each is some nanoseconds, all are under a microsecond."""
    observer = Observer([Metrics()])
    kind, run_of = applied()
    (_, _, task), (_, claim, _) = kind, run_of

    def run(times: int) -> None:
        for _ in range(times):
            observer.started(claim, task)
        observer.changes({kind: Ended([run_of] * times)})

    run(1)  # its cells are there
    assert (steps(run, 110) - steps(run, 10)) / 100 < 90


def steps(run: Callable[[int], None], times: int) -> int:
    """The instructions of Python's that so many runs take."""
    count = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        run(times)
    finally:
        sys.settrace(None)
    return count


def test_processes_know_different_tasks_in_different_orders() -> None:
    """All numbers of a process are added at once, which must not mix them up."""
    names = [f"t{number}" for number in range(700)]  # more than are added in one turn
    often = names[::4]
    parts = ([*names, *often], [*names[::-1], *often], [*names[300:], "new"], [*names, *often])
    expected = Counter(name for part in parts for name in part)
    whole, twice = Sum(), Sum()
    for part in parts:
        metrics = Metrics()
        metrics.changes(by_kind(*(applied(task=name, took=1e9) for name in part)))
        whole.add(metrics.counted())
    twice.add(whole.counted())
    for found in (whole, twice):
        cells = {task: cell for (_, task), cell in found.cells}
        assert {task: sum(cell[RUNS:WAITS]) for task, cell in cells.items()} == expected
        assert {task: cell[0] for task, cell in cells.items()} == expected
        assert all(cell[RUN] == expected[task] * 10**15 for task, cell in cells.items())


def test_a_percent_sign_in_a_name_is_one() -> None:
    metrics = Metrics()
    metrics.changes(by_kind(applied(task="send 50%s")))
    assert values(metrics)["asyncmqd_job_run_seconds_count", "mail", "send 50%s"] == 1
