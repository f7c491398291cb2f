"""The jobs as plain functions, for peers that run those."""

from __future__ import annotations

import time

import marks


def noop() -> None:
    marks.begin()


def nap() -> None:
    marks.begin()
    time.sleep(marks.NAP)


def stamp(reference: int) -> None:
    marks.sample(reference)


def weigh(blob: str) -> None:
    assert blob
    marks.begin()


def flaky(number: int) -> None:
    if marks.fails(number):
        raise RuntimeError("the first run fails")


FUNCTIONS = {
    "noop": noop,
    "nap": nap,
    "plain": noop,
    "stamp": stamp,
    "weigh": weigh,
    "flaky": flaky,
}
