"""F40, F41: whatever a plain function raises or returns: one job ends, all else goes on."""

from __future__ import annotations

import asyncio
import sys

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.states import State
from tests.runtime.conftest import Bench


def _raising(error: BaseException) -> object:
    def raises() -> None:
        raise error

    return raises


class _Unshowable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


def _recursive() -> object:
    loop: list[object] = []
    loop.append(loop)
    return loop


def _deep() -> object:
    value: object = 1
    for _ in range(50_000):
        value = [value]
    return value


def _grows() -> object:
    return _grows()


def _exits() -> None:
    sys.exit(0)


ERRORS = {
    "SystemExit": _exits,
    "KeyboardInterrupt": _raising(KeyboardInterrupt()),
    "GeneratorExit": _raising(GeneratorExit()),
    "CancelledError": _raising(asyncio.CancelledError()),
    "StopIteration": _raising(StopIteration(1)),
    "BaseExceptionGroup": _raising(BaseExceptionGroup("many", [KeyboardInterrupt()])),
    "_Unshowable": _raising(_Unshowable()),
    "RecursionError": _grows,
    "MemoryError": _raising(MemoryError()),
    "NotSerialisable": _recursive,
    "NotSerialisable ": _deep,
    "NotSerialisable  ": object,
    "PayloadTooLarge": lambda: "x" * 50_000_000,
}


@pytest.mark.parametrize("name", ERRORS)
async def test_a_plain_function_that_misbehaves_ends_its_job_and_nothing_else(name: str) -> None:
    bench = Bench()
    bench.backend = InMemoryBackend()
    bench.task(ERRORS[name], name="bad")
    bench.task(lambda: "good", name="good")
    ids = [await bench.add("bad"), await bench.add("good")]
    async with bench.worker(concurrency=1):
        bad, good = await bench.ended(*ids)
    failure = decode_failure(bad.error)
    assert failure is not None
    assert (bad.state, failure.type) == (State.FAILED, name.strip())
    assert len(bad.error) < 32_000
    assert good.state is State.COMPLETED
