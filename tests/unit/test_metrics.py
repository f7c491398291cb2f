"""What is counted on the way of a job, and the text that is made of it."""

from __future__ import annotations

import sys
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from asyncmqd.observe.exposition import family, labels, of_counted
from asyncmqd.observe.listeners import Applied
from asyncmqd.observe.metrics import BOUNDS, Metrics, Sum


def applied(
    edge: str = "succeed",
    task: str = "shop.add",
    took: float | None = 0.002,
    waited: float = 0.5,
    failures: int = 0,
) -> Applied:
    claim = Claim(queue="mail", id="x", token=1, payload=b"", age=waited, failures=failures)
    return Change(queue="mail", id="x", edge=edge, token=1), claim, task, took


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
    metrics.changes([applied(), applied(), applied("fail"), applied("retry"), applied("update")])
    found = values(metrics)
    assert found["asyncmqd_jobs_total", "completed", "mail", "shop.add"] == 2
    assert found["asyncmqd_jobs_total", "failed", "mail", "shop.add"] == 1
    assert found["asyncmqd_jobs_total", "mail", "retried", "shop.add"] == 1
    assert found["asyncmqd_job_run_seconds_count", "mail", "shop.add"] == 5
    assert not any("update" in key for key in found)


def test_a_bucket_has_what_is_not_longer_than_its_bound() -> None:
    metrics = Metrics()
    took = [0.0, 0.001, *(bound * 0.999 for bound in BOUNDS), 1e9]
    metrics.changes([applied(took=each, waited=-5.0) for each in took])
    found = values(metrics)
    for number, bound in enumerate(BOUNDS):
        expected = sum(each <= bound for each in took)
        assert found["asyncmqd_job_run_seconds_bucket", str(bound), "mail", "shop.add"] == expected
        assert expected == number + 3
    assert found["asyncmqd_job_run_seconds_bucket", "+Inf", "mail", "shop.add"] == len(took)
    assert abs(found["asyncmqd_job_run_seconds_sum", "mail", "shop.add"] - sum(took)) < 0.001


def test_only_first_attempts_have_a_waiting_time() -> None:
    metrics = Metrics()
    metrics.changes([applied(waited=3.0), applied(waited=99.0, failures=1), applied(took=None)])
    found = values(metrics)
    assert found["asyncmqd_job_wait_seconds_count", "mail"] == 1
    assert found["asyncmqd_job_wait_seconds_sum", "mail"] == 3
    assert found["asyncmqd_jobs_total", "completed", "mail", "shop.add"] == 3


def test_tasks_that_nobody_knows_are_one() -> None:
    """Whoever enqueues could make a series for each job else."""
    metrics = Metrics()
    for number in range(100):
        metrics.changes([applied("park", f"made.up{number}", None), applied("fail", "", None)])
    assert len(metrics.counted().cells) == 2
    assert values(metrics)["asyncmqd_jobs_total", "mail", "other", "parked"] == 100


def test_several_processes_are_one_sum() -> None:
    one, two = Metrics(), Metrics()
    one.changes([applied(), applied("fail")])
    two.changes([applied(), applied()])
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
    """Each is some nanoseconds: all of them together are well under a microsecond."""
    metrics, job = Metrics(), applied()
    metrics.changes([job])  # its cell is there

    def steps(runs: int) -> int:
        count = 0

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal count
            frame.f_trace_opcodes = True
            count += event == "opcode"
            return trace

        batch = [job] * runs
        sys.settrace(trace)
        try:
            metrics.changes(batch)
        finally:
            sys.settrace(None)
        return count

    assert (steps(110) - steps(10)) / 100 < 100
