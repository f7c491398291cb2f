"""What processes say of themselves, and whether a task is known by that."""

from __future__ import annotations

import msgspec
import pytest

from asyncmqd.domain.heartbeat import (
    NAMES_LIMIT,
    NOBODY_KNOWS,
    Load,
    Serving,
    serving_of,
    together,
    told,
    unknown,
)
from asyncmqd.domain.tasks import Registry, TaskDef, TaskOptions

MAIL = {"mail": Load()}
SENDS = Serving(queues=MAIL, tasks=("shop.send",))


@pytest.mark.parametrize(
    ("processes", "problem"),
    [
        ([], None),
        ([Serving(queues={"other": Load()}, tasks=())], None),  # nobody serves the queue
        ([SENDS], f"{NOBODY_KNOWS} (did you mean shop.send?)"),
        ([SENDS, Serving(queues=MAIL, tasks=("shop.sent",))], None),
        ([SENDS, Serving(queues=MAIL)], None),  # of an older release, or with too many
        ([Serving(queues=MAIL, tasks=("x",))], NOBODY_KNOWS),
    ],
)
def test_a_task_is_unknown_when_all_who_serve_its_queue_say_so(
    processes: list[Serving], problem: str | None
) -> None:
    assert unknown("shop.sent", "mail", processes) == problem


def test_workers_of_one_queue_are_told_together() -> None:
    full = Load(2, 2, held="stopping", rate_limit=5.0, opens=3.0)
    assert together([full]) == full
    assert together([full, Load(3, 1)]) == Load(5, 3)
    assert together([full, full]) == Load(4, 4, held="stopping")


def test_what_a_process_has_not_to_tell_takes_no_room() -> None:
    said = Serving(queues={"mail": Load(1, 0)}, tasks=())
    assert msgspec.json.encode(said) == b'{"queues":{"mail":{"concurrency":1}},"tasks":[]}'


def test_all_names_are_told_or_none() -> None:
    names = ["n" * 64] * (NAMES_LIMIT // 64)
    assert told(names) == names
    assert told([*names, "n"]) is None


@pytest.mark.parametrize("info", [b"no JSON", b'{"queues": 5}', b"\xff", b"[" * 100_000])
def test_a_spoilt_heartbeat_says_nothing(info: bytes) -> None:
    assert serving_of(info) == Serving()


def test_the_nearest_name_is_looked_for_a_hundred_times_at_most() -> None:
    registry = Registry()
    registry.add(TaskDef(lambda: None, "shop.send", TaskOptions()))
    assert registry.meant("shop.sent") == " (did you mean shop.send?)"
    for number in range(200):
        registry.meant(f"x{number}")
    assert (registry.meant("shop.sand"), registry.meant("shop.sent")) == (
        "",
        " (did you mean shop.send?)",
    )
    registry.add(TaskDef(lambda: None, "shop.sand", TaskOptions()))
    assert registry.meant("shop.sandd") == " (did you mean shop.sand?)"
