"""What several processes say of themselves, as one report."""

from __future__ import annotations

from asyncmqd.daemon.process_report import QueueReport, Report, history, total


def test_numbers_add_up_and_errors_count_from_any() -> None:
    one = Report(
        queues={
            "mail": QueueReport(concurrency=3, running=2, rate_limit=1.5, completed=10, retried=1),
            "own": QueueReport(concurrency=1),
        },
        completed=10,
        stuck_functions=1,
    )
    other = Report(
        queues={"mail": QueueReport(concurrency=2, rate_limit=1.0, draining=True, failed=4)},
        failed=4,
        dropped=7,
        store_error="away",
        stuck=["mail"],
    )
    whole = total([one, other])
    assert whole.queues["mail"] == QueueReport(
        concurrency=5, running=2, rate_limit=2.5, draining=True, completed=10, failed=4, retried=1
    )
    assert whole.queues["own"] == QueueReport(concurrency=1)
    assert (whole.completed, whole.failed, whole.stuck_functions, whole.dropped) == (10, 4, 1, 7)
    assert (whole.store_error, whole.stuck) == ("away", ["mail"])
    assert (whole.running, whole.draining) == (2, ["mail"])
    assert one.queues["mail"].concurrency == 3, "what is added up stays as it was"


def test_of_a_process_that_ended_its_results_stay() -> None:
    ended = Report(
        queues={"mail": QueueReport(concurrency=3, running=2, completed=10, restarts=1)},
        completed=10,
        dropped=2,
        stuck_functions=3,
        store_error="away",
    )
    past = history(ended)
    assert past.queues == {"mail": QueueReport(completed=10, restarts=1)}
    assert (past.completed, past.dropped, past.stuck_functions, past.store_error) == (10, 2, 0, "")
    assert total([Report(), past]).completed == 10
