"""What can be a task, under which name, and what is refused where it is declared."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncmqd import task
from asyncmqd.domain.tasks import REGISTRY, BadArguments


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    before = dict(REGISTRY._tasks)
    yield
    REGISTRY._tasks.clear()
    REGISTRY._tasks.update(before)


class Sender:
    """An object that is called."""

    def __init__(self, factor: int = 2) -> None:
        self.factor = factor

    def __call__(self, number: int) -> int:
        return number * self.factor

    def send(self, number: int) -> int:
        return number


class AsyncSender(Sender):
    async def __call__(self, number: int) -> int:  # type: ignore[override]
        return number


def add(one: int, other: int) -> int:
    return one + other


def test_partials_and_objects_work_with_a_name() -> None:
    partial = task(name="add_one")(functools.partial(add, 1))
    called = task(name="called")(Sender())
    awaited = task(name="awaited")(AsyncSender())
    assert (partial(2), called(2)) == (3, 4)
    assert awaited.definition.is_async
    with pytest.raises(BadArguments, match="argument 'other': Expected `int`"):
        partial.definition.typed(["2"], {})
    assert called.definition.hints == {"number": int}
    assert partial.definition.module == called.definition.module


@pytest.mark.parametrize("target", [functools.partial(add, 1), Sender()], ids=type)
def test_they_have_no_name_of_their_own(target: Any) -> None:
    with pytest.raises(TypeError, match="name: expected name= for a "):
        task(target)


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> Any:
    yield 1


class _Generating:
    def __call__(self) -> Iterator[int]:
        yield 1


REFUSED: dict[str, tuple[Any, str]] = {
    "generator": (_generator, "got the generator _generator"),
    "async generator": (_async_generator, "got the generator _async_generator"),
    "partial generator": (functools.partial(_generator), "got the generator "),
    "generating object": (_Generating(), "got the generator "),
    "method": (Sender.send, "got the method Sender.send, whose object"),
    "bound method": (Sender().send, "register a function that gets or makes the object"),
    "classmethod": (classmethod(add), "got the method add"),
    "class": (Sender, "got Sender"),
    "text": ("send", "a name is given as name="),
    "number": (5, "expected a function, got 5"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_worker_could_call_is_refused(what: str) -> None:
    target, words = REFUSED[what]
    with pytest.raises(TypeError, match="@task: expected a function") as refused:
        task(name="refused")(target)
    assert words in str(refused.value)
    assert REGISTRY.get("refused") is None


@pytest.mark.parametrize("name", [5, "", "a\nb"])
def test_a_name_is_text(name: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="name: expected "):
        task(name=name)(add)


def test_static_methods_are_functions() -> None:
    class Mail:
        @task(name="static")
        @staticmethod
        def send(number: int) -> int:
            return number

    assert Mail.send(3) == 3


def _made(factor: int) -> Callable[[int], int]:
    def times(number: int) -> int:
        return number * factor

    return times


def test_two_functions_of_one_name_are_refused() -> None:
    first = task(_made(2))
    assert task(first.definition.function).name == first.name, "the same one may come twice"
    with pytest.raises(ValueError, match="expected a name of its own"):
        task(_made(3))
    one = task(lambda: 1)
    with pytest.raises(ValueError, match="expected a name of its own"):
        task(lambda: 2)
    assert (first(1), one()) == (2, 1)


MODULE = """
from asyncmqd import task

def made(factor):
    return task(name=f"times_{factor}")(lambda number: number * factor)

@task
def plain():
    return VALUE

doubled, tripled = made(2), made(3)
"""


def test_a_module_may_be_imported_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "reloaded_tasks.py"
    source.write_text(MODULE.replace("VALUE", "1"))
    module = importlib.import_module("reloaded_tasks")
    source.write_text("# a line more\n" + MODULE.replace("VALUE", "22"))
    importlib.reload(module)
    found = REGISTRY.get("reloaded_tasks.plain")
    assert found is not None
    assert found.function() == 22
    del sys.modules["reloaded_tasks"]
    assert importlib.import_module("reloaded_tasks").doubled(4) == 8


def test_within_one_import_a_copy_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "copied_tasks.py").write_text(MODULE + MODULE.replace("made(2), made(3)", "0, 0"))
    with pytest.raises(ValueError, match=r"task copied_tasks\.plain: expected a name of its own"):
        importlib.import_module("copied_tasks")
