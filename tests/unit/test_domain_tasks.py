"""The registry, and arguments from JSON as a task's hints declare them."""

from __future__ import annotations

import dataclasses
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel

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
    assert carried(task_of(function), argument=value) == ([value], {})


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


def test_defaults_are_left_to_the_function() -> None:
    def function(a: int, session: Session = None) -> None: ...  # type: ignore[assignment]

    assert carried(task_of(function), 1) == ([1], {})


def test_a_hint_that_describes_no_json_is_left_to_the_task() -> None:
    def function(session: Session, opaque: Registry) -> None: ...

    assert carried(task_of(function), "s", {"x": 1}) == (["s", {"x": 1}], {})


def test_a_hint_that_cannot_be_resolved_leaves_values_plain() -> None:
    def function(when: datetime) -> None: ...

    function.__annotations__ = {"when": "NoSuchName", "return": "AlsoNone"}
    task = task_of(function)
    assert carried(task, MOMENT) == (["2026-03-29T01:30:00Z"], {})
    assert task.returns is None


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
    assert carried(typed, 1, "/srv") == ([1, "/srv"], {})
    with pytest.raises(TypeError, match="missing a required argument: 'path'"):
        typed.check_call((1,), {})


def test_a_task_knows_what_it_returns() -> None:
    def function() -> Order: ...

    assert task_of(function).returns is Order
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
