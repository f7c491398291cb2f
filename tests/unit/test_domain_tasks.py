"""The registry, and arguments from JSON as a task's hints declare them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Awaitable, Coroutine
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Never, Protocol
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel

from asyncmqd.domain import tasks
from asyncmqd.domain.codec import decode, encode
from asyncmqd.domain.tasks import (
    BadArguments,
    Registry,
    TaskDef,
    TaskOptions,
)


class Colour(Enum):
    RED = "red"


@dataclasses.dataclass
class Address:
    street: str
    since: date


class Order(BaseModel):
    number: int
    total: Decimal
    address: Address


class Point(msgspec.Struct):
    x: float
    y: float


class Session(Protocol):
    def commit(self) -> None: ...


MOMENT = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
HOME = Address("Rua A", date(2020, 2, 29))


def task_of(function: Any, **options: Any) -> TaskDef:
    return TaskDef(function, "mod.f", TaskOptions(**options))


def result_of(task: TaskDef) -> Any:
    assert task.result is not None
    return task.result.hint


def carried(task: TaskDef, *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments after their way through the store."""
    return task.typed(decode(encode(args)), decode(encode(kwargs)))


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, 5),
        (float, 1.5),
        (str, "x"),
        (bytes, b"\x00\xff"),
        (datetime, MOMENT),
        (datetime, datetime(2026, 3, 29, 1, 30)),  # noqa: DTZ001 - naive ones travel too
        (date, date(2026, 1, 1)),
        (timedelta, timedelta(hours=1, milliseconds=5)),
        (UUID, UUID("12345678-1234-5678-1234-567812345678")),
        (Decimal, Decimal("1.10")),
        (Colour, Colour.RED),
        (Address, HOME),
        (Point, Point(1.0, 2.5)),
        (Order, Order(number=1, total=Decimal("9.99"), address=HOME)),
        (list[Order], [Order(number=1, total=Decimal(1), address=HOME)]),
        (dict[int, Address], {1: HOME}),
        (dict[UUID, int], {UUID(int=1): 1}),
        (set[int], {1, 2}),
        (tuple[int, str], (1, "x")),
        (int | None, None),
        (int | str, "x"),
        (Literal["a", "b"], "b"),
        (Any, {"x": [1]}),
    ],
)
def test_values_come_back_as_the_hint_declares(hint: Any, value: Any) -> None:
    def function(argument: hint) -> None: ...  # type: ignore[valid-type]

    function.__annotations__ = {"argument": hint}
    [args], kwargs = carried(task_of(function), value)
    assert (args, type(args), kwargs) == (value, type(value), {})
    assert carried(task_of(function), argument=value) == ([], {"argument": value})


def test_a_value_that_does_not_fit_names_its_argument() -> None:
    def function(count: int, when: datetime) -> None: ...

    for args in [("x", MOMENT), (1, "yesterday"), (True, MOMENT), (1.5, MOMENT)]:
        name = "when" if args[0] == 1 and args[0] is not True else "count"
        with pytest.raises(BadArguments, match=rf"^mod\.f: argument '{name}': "):
            carried(task_of(function), *args)


def test_a_model_that_refuses_names_its_argument() -> None:
    def function(order: Order) -> None: ...

    with pytest.raises(BadArguments, match=r"(?s)^mod\.f: argument 'order': .*number"):
        carried(task_of(function), {"number": "x"})


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"c": 1}), ((1,), {"a": 1})],
)
def test_a_call_that_does_not_fit_is_refused(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    def function(a: int, b: int = 2) -> None: ...

    with pytest.raises(TypeError, match=r"^mod\.f: "):
        task_of(function).check_call(args, kwargs)
    with pytest.raises(BadArguments, match=r"^mod\.f: "):
        task_of(function).typed(list(args), kwargs)


def test_arguments_without_hints_stay_plain() -> None:
    def function(a, b=None, *rest, **more) -> None: ...  # type: ignore[no-untyped-def]

    args, kwargs = carried(task_of(function), 1, [2], 3, x=MOMENT)
    assert args == [1, [2], 3]
    assert kwargs == {"x": "2026-03-29T01:30:00Z"}


def test_hints_of_variable_arguments_hold_for_each() -> None:
    def function(*days: date, **colours: Colour) -> None: ...

    day = date(2026, 1, 1)
    assert carried(task_of(function), day, day, a=Colour.RED) == ([day, day], {"a": Colour.RED})
    with pytest.raises(BadArguments, match="argument 'days'"):
        carried(task_of(function), day, "x")


def test_a_hint_that_describes_no_json_is_refused_where_the_task_is_declared() -> None:
    def function(number: int, session: Session) -> None: ...

    with pytest.raises(TypeError, match=r"^mod\.f: parameter 'session': expected .*, got Session;"):
        task_of(function)


def test_a_parameter_that_may_be_left_out_may_have_any_hint() -> None:
    def function(a: int, session: Session = None, *rest: Session) -> None: ...  # type: ignore[assignment]

    task = task_of(function)
    task.check_call((1,), {})
    assert carried(task, 1) == ([1], {})
    for args in [(1, "x"), (1, None, "x")]:
        with pytest.raises(TypeError, match=r"^mod\.f: parameter '(session|rest)': expected"):
            task.check_call(args, {})


@pytest.mark.parametrize("hint", [Session, list[Registry]])
def test_a_result_that_json_cannot_carry_is_refused_too(hint: Any) -> None:
    def function() -> None: ...

    function.__annotations__ = {"return": hint}
    with pytest.raises(TypeError, match=r"^mod\.f: the result: expected a type that JSON"):
        task_of(function)


@pytest.mark.parametrize(
    ("hint", "form"),
    [(Never, None), (Awaitable[date], date), (Coroutine[Any, Any, date | None], date | None)],
)
def test_a_result_is_what_is_stored(hint: Any, form: Any) -> None:
    def function() -> None: ...

    function.__annotations__ = {"return": hint}
    assert result_of(task_of(function)) == form


def test_a_hint_that_cannot_be_read_is_dropped_alone_with_a_warning() -> None:
    def function(when: datetime, day: date) -> None: ...

    function.__annotations__ = {"when": "NoSuchName", "day": "date", "return": "datetime.Nothing"}
    task = task_of(function)
    with pytest.warns(RuntimeWarning) as warned:
        back, _ = carried(task, MOMENT, date(2026, 1, 1))
    assert back == ["2026-03-29T01:30:00Z", date(2026, 1, 1)]
    assert [str(each.message).split(" (")[0] for each in warned] == [
        "mod.f: parameter 'when': its hint cannot be read",
        "mod.f: the result: its hint cannot be read",
    ]
    assert warned[0].filename == __file__
    carried(task, MOMENT, date(2026, 1, 1))  # said once
    assert task.result is None


def test_a_hint_that_is_there_later_and_cannot_be_carried_is_refused_at_the_producer() -> None:
    def function(later: int) -> None: ...

    function.__annotations__ = {"later": "LaterOn"}
    task = task_of(function)
    function.__globals__["LaterOn"] = Session
    try:
        with pytest.raises(TypeError, match=r"^mod\.f: parameter 'later': expected"):
            task.check_call((1,), {})
    finally:
        del function.__globals__["LaterOn"]


def test_plain_types_are_not_looked_at_by_producers(monkeypatch: pytest.MonkeyPatch) -> None:
    def function(a: int, b: str | None, c: list[dict[str, Any]], *rest: float) -> None: ...

    monkeypatch.setattr(tasks, "ask", None)
    task_of(function).check_call((1, "x", [{}], 1.5), {})


def test_a_hint_may_name_what_is_defined_below_or_for_type_checkers_only() -> None:
    # From 3.14 on that needs no import from the future, and the hints are evaluated when read.
    source = """
def early(day: Day) -> None: ...
def typed(number: int, path: Path) -> None: ...
from datetime import date as Day
"""
    if sys.version_info < (3, 14):
        source = f"from __future__ import annotations\n{source}"
    names: dict[str, Any] = {"__name__": "module"}
    exec(compile(source, "module.py", "exec", dont_inherit=True), names)
    day = date(2026, 3, 29)
    early = task_of(names["early"])
    assert carried(early, day) == ([day], {})
    typed = task_of(names["typed"])
    with pytest.warns(RuntimeWarning, match="parameter 'path': its hint cannot be read"):
        assert carried(typed, 1, "/srv") == ([1, "/srv"], {})
    with pytest.raises(TypeError, match="missing a required argument: 'path'"):
        typed.check_call((1,), {})


def test_a_task_knows_what_it_returns() -> None:
    def function() -> Order: ...

    assert result_of(task_of(function)) is Order
    assert task_of(function).hints == {}


def test_async_functions_are_told_from_plain_ones() -> None:
    async def coroutine() -> None: ...

    assert task_of(coroutine).is_async
    assert not task_of(print).is_async


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"retries": -1}, "retries: expected a whole number from 0 to 1000000, got -1"),
        ({"timeout": "soon"}, "timeout: expected seconds .*, got 'soon'"),
        ({"timeout": float("inf")}, "timeout: expected seconds .*, got inf"),
        ({"ttl": float("nan")}, "ttl: expected seconds .*, got nan"),
        ({"priority": 256}, "priority: expected a whole number from 0 to 255, got 256"),
        ({"executor": "fork"}, "executor: expected 'thread' or 'process', got 'fork'"),
        ({"queue": "Mail"}, "queue: expected a queue name of"),
    ],
)
def test_wrong_options_are_refused_at_the_decorator(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        TaskOptions(**options)


@pytest.mark.parametrize("name", ["", " t", "t\n", "x" * 201, "\ud800", 5])
def test_a_task_has_a_name_that_every_store_takes(name: Any) -> None:
    with pytest.raises(ValueError, match="task: expected a name of 1 to 200 printable characters"):
        TaskDef(print, name, TaskOptions())


# ---------------------------------------------------------------- the registry


def first() -> None: ...


def second() -> None: ...


def test_tasks_are_found_by_name() -> None:
    registry = Registry()
    registry.add(TaskDef(first, "b", TaskOptions()))
    registry.add(TaskDef(second, "a", TaskOptions()))
    found = registry.get("a")
    assert found is not None
    assert found.function is second
    assert registry.get("os.system") is None
    assert registry.names() == ["a", "b"]
    assert len(registry) == len(list(registry)) == 2


def test_a_name_stands_for_one_function() -> None:
    registry = Registry()
    registry.add(TaskDef(first, "a", TaskOptions()))
    with pytest.raises(ValueError, match=r"task a: expected a name of its own.*\.first has"):
        registry.add(TaskDef(second, "a", TaskOptions()))
    found = registry.get("a")
    assert found is not None
    assert found.function is first


def test_a_function_may_register_again() -> None:
    registry = Registry()
    registry.add(TaskDef(first, "a", TaskOptions(retries=1)))
    registry.add(TaskDef(first, "a", TaskOptions(retries=2)))
    found = registry.get("a")
    assert found is not None
    assert found.options.retries == 2
