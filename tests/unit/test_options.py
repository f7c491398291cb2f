"""The table of options: one description for producers, schedules, files and the decoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmqd.client.pending import CallOptions, pending
from asyncmqd.client.tasks import task
from asyncmqd.domain.codec import CorruptPayload, decode_spec, encode_spec
from asyncmqd.domain.job import JobSpec
from asyncmqd.domain.options import (
    EVERY,
    MAX_DELAY,
    OF_CALL,
    OF_INSTANTS,
    OF_TASK,
    QUEUE,
    STORED,
    TIMEOUT,
    check_queue_name,
    refuse_unknown,
)
from asyncmqd.domain.schedule import Repeatable, check, decode_schedule, job_of
from asyncmqd.domain.tasks import TaskDef, TaskOptions
from asyncmqd.domain.typed_keywords import (
    AddKeywords,
    CallKeywords,
    RepeatableKeywords,
    StoredKeywords,
    TaskKeywords,
)


class Urgency(IntEnum):
    HIGH = 1


@task(name="options.work", queue="work")
def work() -> None: ...


numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, 5, 255, 256, 10**6, 10**9, 10**12, 10**400, MAX_DELAY])
)
values = (
    st.none()
    | numbers
    | st.booleans()
    | st.text(max_size=10)
    | st.sampled_from(
        ["5m", "0", "1.5h", "4000d", "mail", "E mails", "{mail}", "mail\n", "x" * 129]
    )
    | st.timedeltas()
    | st.decimals()
    | st.fractions()
    | st.binary(max_size=3)
    | st.lists(st.integers(), max_size=2)
    | st.sampled_from([Urgency.HIGH, object(), "\ud800"])
)


def options_of(names: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(sorted(names)), values, max_size=4)


def attempt(declare: Callable[[], Any]) -> tuple[Any, str]:
    """What was declared, or None and the option that the refusal names."""
    try:
        return declare(), ""
    except ValueError as error:
        return None, str(error).partition(":")[0]


@given(options=options_of(OF_CALL))
def test_a_job_is_refused_by_name_or_comes_back_as_it_was_stored(options: dict[str, Any]) -> None:
    job, refused = attempt(lambda: work.options(**options).job())
    if job is None:
        assert refused in options
        return
    assert job.queue is None or check_queue_name(job.queue) == job.queue
    assert 0 <= job.delay <= MAX_DELAY
    payload = job.new(2**20).payload
    assert decode_spec(payload) == job.spec
    assert encode_spec(decode_spec(payload)) == payload


@given(options=options_of(OF_TASK))
def test_a_task_is_refused_by_name_or_its_jobs_come_back(options: dict[str, Any]) -> None:
    given = {name: value for name, value in options.items() if value is not None}
    declared, refused = attempt(lambda: TaskOptions(**given))
    if declared is None:
        assert refused in options
        return
    cost = declared.cost if isinstance(declared.cost, int) else 1
    by_arguments = {"unique": False, "key": None, "cost": cost}
    task = TaskDef(lambda: None, "t", msgspec.structs.replace(declared, **by_arguments))
    spec = pending(task, (), {}, CallOptions()).spec
    assert decode_spec(encode_spec(spec)) == spec


@given(options=options_of([*STORED, "name", "every"]))
def test_a_schedule_is_refused_by_name_or_its_jobs_come_back(options: dict[str, Any]) -> None:
    given = {"every": 5} | {name: value for name, value in options.items() if value is not None}
    schedule, refused = attempt(lambda: check(Repeatable(task="t", **given)))
    if schedule is None:
        assert refused in given
        return
    assert decode_schedule(msgspec.json.encode(schedule)) == schedule
    job = job_of(schedule, 1_800_000_000.0)
    assert decode_spec(encode_spec(job)) == job


@pytest.mark.parametrize("name", ["nightly report", "täglich", "x" * 200])
def test_a_schedule_of_any_name_makes_jobs_that_can_be_read(name: str) -> None:
    spec = job_of(check(Repeatable(task="t", name=name, every=5)), 1_800_000_000.0)
    assert decode_spec(encode_spec(spec)).schedule == name
    other = job_of(check(Repeatable(task="t", name=f"{name[1:]}y", every=5)), 1_800_000_000.0)
    assert other.id != spec.id


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"priority": 1.5}, "priority: expected a whole number from 0 to 255, got 1.5"),
        ({"priority": True}, "priority: expected a whole number from 0 to 255, got True"),
        ({"retries": 1.5}, "retries: expected a whole number from 0 to 1000000, got 1.5"),
        ({"retries": 10**12}, "retries: expected a whole number .*, got 1000000000000"),
        ({"retries": 10**5000}, "retries: expected a whole number .*, got a value of type int"),
        ({"timeout": 10**9}, "timeout: expected seconds .*ten years.*, got 1000000000"),
        ({"timeout": "4000d"}, "timeout: expected seconds .*ten years.*, got '4000d'"),
        ({"ttl": Decimal(5)}, r"ttl: expected seconds .*, got Decimal\('5'\)"),
        ({"ttl": Fraction(1, 2)}, r"ttl: expected seconds .*, got Fraction"),
        ({"queue": "E mails"}, "queue: expected a queue name .*, got 'E mails'"),
        ({"queue": 5}, "queue: expected a queue name .*, got 5"),
    ],
)
def test_errors_name_the_option_what_was_expected_and_what_came(
    options: dict[str, Any], problem: str
) -> None:
    for declare in (CallOptions, TaskOptions, lambda **o: task(**o)(work.definition.function)):
        with pytest.raises(ValueError, match=f"^{problem}"):
            declare(**options)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("declare", "hint"),
    [
        (lambda: work.options(retires=3), r"retires: .*got 'retires' \(did you mean retries\?\)"),
        (lambda: task(time_out=3), r"time_out: .*\(did you mean timeout\?\)"),
        (
            lambda: work.options(xyz=3),
            r"xyz: .*\(known are cost, delay, job_id, key, on_conflict, priority, ",
        ),
    ],
)
def test_an_unknown_option_names_the_nearest(declare: Callable[[], Any], hint: str) -> None:
    with pytest.raises(TypeError, match=f"^{hint}"):
        declare()


def test_known_options_pass() -> None:
    refuse_unknown({}, OF_CALL)
    refuse_unknown({"delay": 1, "queue": "x"}, OF_CALL)


@pytest.mark.parametrize(
    "change",
    [{"priority": 256}, {"retries": 10**6 + 1}, {"timeout": MAX_DELAY + 1}, {"ttl": -1.0}],
)
def test_the_decoder_has_the_limits_of_the_producers(change: dict[str, Any]) -> None:
    [name] = change
    payload = msgspec.json.encode(JobSpec(id="a", task="t", **change))
    with pytest.raises(CorruptPayload, match=f"^{name}: expected "):
        decode_spec(payload)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (30, 30.0),
        (0.5, 0.5),
        ("30", 30.0),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1.5h", 5_400.0),
        ("2d", 172_800.0),
        (" 5 m ", 300.0),
        (timedelta(minutes=5), 300.0),
        (MAX_DELAY, MAX_DELAY),
    ],
)
def test_periods(value: Any, expected: float) -> None:
    for option in (EVERY, TIMEOUT):
        read = option.check(value)
        assert (read, type(read)) == (expected, float)


@pytest.mark.parametrize(
    "value",
    [
        *("", "m", "5x", "5 minutes", "-5m", "1e3", "5m30s", "\u0665", "9ms", "3661d", "9" * 400),
        *(0, -1, 0.009, True, None, math.nan, math.inf, [5], 10**400, timedelta(days=9999)),
    ],
    ids=lambda value: f"{value!r}"[:20],
)
def test_no_periods(value: Any) -> None:
    with pytest.raises(ValueError, match=r"every: expected seconds of at least 0\.01"):
        EVERY.check(value)


@pytest.mark.parametrize("value", [0, 0.0, "0", "0s", "0.0 ms", timedelta()])
def test_no_time_is_a_period_where_it_means_no_limit(value: Any) -> None:
    assert TIMEOUT.check(value) == 0.0


@pytest.mark.parametrize("name", ["mail", "0", "a-b_c", "x" * 128])
def test_queue_names(name: str) -> None:
    assert check_queue_name(name) == name


@pytest.mark.parametrize("name", ["", "Mail", "-a", "_a", "a b", "a:b", "é", "a\n", "x" * 129, 5])
def test_no_queue_names(name: Any) -> None:
    with pytest.raises(ValueError, match="queue: expected a queue name of a-z"):
        check_queue_name(name)
    with pytest.raises(ValueError, match="queue: expected a queue name of a-z"):
        QUEUE.check(name)


SAMPLES: dict[type, Any] = {int: 2, float: 2.5, str: "2m", timedelta: timedelta(seconds=2)}


@pytest.mark.parametrize(
    ("keywords", "table"),
    [
        (StoredKeywords, STORED),
        (RepeatableKeywords, OF_INSTANTS),
        (AddKeywords, {name: each for name, each in OF_CALL.items() if name != "queue"}),
        (CallKeywords, OF_CALL),
        (TaskKeywords, OF_TASK),
    ],
)
def test_type_checkers_are_told_what_the_table_says(keywords: type, table: Any) -> None:
    hints = get_type_hints(keywords)
    assert hints.keys() == table.keys()
    for name, option in table.items():
        told = set(get_args(hints[name]))
        words = [value for each in told if get_origin(each) is Literal for value in get_args(each)]
        assert all(option.check(word) == word for word in words)
        for kind, sample in SAMPLES.items():
            # For a type checker, a whole number is a float, too.
            if kind is str and name in {"start", "end"}:
                sample = "2026-12-01T00:00:00Z"
            is_told = kind in told or (kind is int and float in told)
            assert _accepts(option, sample) == is_told, (name, sample)


def _accepts(option: Any, sample: Any) -> bool:
    try:
        option.check(sample)
    except ValueError:
        return False
    return True
