"""The division of a queue's limits between child processes."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncmqd.daemon.children.limit_split import share_of, slots_of
from asyncmqd.domain.queue_options import QueueOptions

SCANNER = "myapp.scanners:inbox"


def shares(options: QueueOptions, processes: int, queue: str = "mail") -> list[QueueOptions]:
    """What the children get that get anything, in their order."""
    each = (share_of({queue: options}, number + 1, processes) for number in range(processes))
    return [share[queue] for share in each if share]


limited = st.builds(
    QueueOptions,
    concurrency=st.integers(1, 300),
    rate_limit=st.none() | st.floats(0, 1_000),
    burst=st.none() | st.floats(1, 1_000),
    scanners=st.just((SCANNER,)),
)


@given(limited, st.integers(2, 20), st.sampled_from(["mail", "a", "reports"]))
@example(QueueOptions(concurrency=10, rate_limit=0.5, scanners=(SCANNER,)), 4, "mail")
def test_the_shares_are_the_whole(options: QueueOptions, processes: int, queue: str) -> None:
    got = shares(options, processes, queue)
    assert got, "somebody serves each queue"
    assert sum(each.concurrency for each in got) == options.concurrency
    assert all(each.concurrency >= 1 for each in got)
    assert [each.scanners for each in got].count((SCANNER,)) == 1
    if options.rate_limit is None:
        assert {each.rate_limit for each in got} == {None}
        return
    assert math.isclose(sum(each.rate_limit or 0 for each in got), options.rate_limit)
    if options.rate_limit == 0:
        return
    bucket = max(1.0, options.rate_limit) if options.burst is None else options.burst
    assert math.isclose(sum(each.burst or 0 for each in got), bucket)
    assert all((each.burst or 0) >= 1 for each in got), "a smaller bucket lets nothing through"
    whole = sum(math.floor(each.burst or 0) for each in got)
    assert whole == math.floor(bucket), "as many start at once as without children"


@given(st.integers(1, 300), st.integers(2, 20))
def test_no_child_has_more_than_one_job_more_than_another(concurrency: int, processes: int) -> None:
    got = [each.concurrency for each in shares(QueueOptions(concurrency=concurrency), processes)]
    assert len(got) == min(concurrency, processes)
    assert max(got) - min(got) <= 1


@given(st.integers(1, 200), st.integers(1, 200), st.integers(2, 20))
def test_a_higher_limit_takes_nothing_from_any_child(less: int, more: int, processes: int) -> None:
    """So a reload makes all children grow, or all of them shrink, and never passes the limit."""
    less, more = sorted((less, more))
    for number in range(1, processes + 1):
        low = share_of({"q": QueueOptions(concurrency=less)}, number, processes)
        high = share_of({"q": QueueOptions(concurrency=more)}, number, processes)
        assert (low["q"].concurrency if low else 0) <= (high["q"].concurrency if high else 0)


@pytest.mark.parametrize(
    ("processes", "expected"), [(1, [10]), (3, [3, 3, 4]), (4, [2, 2, 3, 3]), (20, [1] * 10)]
)
def test_ten_jobs_are_dealt_one_by_one(processes: int, expected: list[int]) -> None:
    options = QueueOptions(concurrency=10)
    assert sorted(each.concurrency for each in shares(options, processes)) == expected


def test_small_queues_spread() -> None:
    wanted = {f"queue-{n}": QueueOptions(concurrency=1) for n in range(50)}
    served = [len(share_of(wanted, number, 4)) for number in range(1, 5)]
    assert sum(served) == 50
    assert min(served) >= 8


@given(
    st.lists(limited, min_size=1, max_size=12),
    st.integers(1, 9),
    st.integers(0, 40),
)
def test_a_child_serves_no_more_queues_than_it_has_slots(
    options: list[QueueOptions], processes: int, more: int
) -> None:
    slots = max(len(options), processes) + more
    wanted = {f"queue-{number}": each for number, each in enumerate(options)}
    parts = [slots_of(slots, number, processes) or 0 for number in range(1, processes + 1)]
    got = [share_of(wanted, number, processes, slots) for number in range(1, processes + 1)]
    assert sum(parts) == slots
    assert max(parts) - min(parts) <= 1
    for part, queues in zip(parts, got, strict=True):
        assert len(queues) <= part
    for name, each in wanted.items():
        served = [queues[name] for queues in got if name in queues]
        assert sum(share.concurrency for share in served) == each.concurrency
    if slots >= len(wanted) * processes:
        usual = [share_of(wanted, number, processes) for number in range(1, processes + 1)]
        assert got == usual, "where there are enough, nothing moves"


def test_without_a_limit_of_the_daemon_a_child_has_none() -> None:
    assert slots_of(None, 1, 4) is None
