"""Every hint of docs/hints.md: its values come back equal, or it is refused with words."""

from __future__ import annotations

from typing import Any

import pytest

from asyncmqd.domain.codec import decode_spec, encode_spec
from asyncmqd.domain.job import JobSpec
from asyncmqd.domain.round_trip import same
from asyncmqd.domain.tasks import TaskDef, TaskOptions
from tests.unit.hints import AT_THE_PRODUCER, ROWS, evaluated


def declared(hint: Any) -> TaskDef:
    def function(argument):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    function.__annotations__ = {"argument": hint}
    return TaskDef(function, "mod.f", TaskOptions())


def enqueued(task: TaskDef, value: Any) -> bytes:
    """What a producer stores of a call."""
    task.check_call((value,), {})
    return encode_spec(JobSpec(id="a", task="mod.f", args=[value]))


def arrived(task: TaskDef, value: Any) -> Any:
    """The value as a worker gets it."""
    [back], _ = task.typed(decode_spec(enqueued(task, value)).args, {})
    return back


@pytest.mark.parametrize(("hint", "values"), [(row[0], row[1:]) for row in ROWS], ids=lambda x: x)
def test_a_hint_is_carried_or_refused(hint: str, values: tuple[str, ...]) -> None:
    if not values:
        with pytest.raises(
            TypeError, match=r"^mod\.f: parameter 'argument': .*(expected|asterisks)"
        ):
            declared(evaluated(hint))
        return
    task = declared(evaluated(hint))
    for text in values:
        value = evaluated(text)
        back = arrived(task, value)
        assert same(back, value, loose=hint.startswith(("Sequence", "Iterable")))
        if hint not in {"int", "str", "float"} and not isinstance(value, tuple):
            assert type(back) is type(value), text


@pytest.mark.parametrize(("hint", "value", "problem"), AT_THE_PRODUCER)
def test_a_value_that_would_change_is_refused_at_the_producer(
    hint: str, value: str, problem: str
) -> None:
    task = declared(evaluated(hint))
    with pytest.raises(TypeError) as caught:
        enqueued(task, evaluated(value))
    assert "args[0]" in str(caught.value)
    assert problem in str(caught.value)
