"""Values as arguments of scripts, and replies as values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import pytest

from asyncmqd.backends.redis.encoding import change_args, claims
from asyncmqd.domain.change import Change

NOW = 1_764_547_200_000_000
USUAL = b"1764547199500000005payload"
STRINGS = {  # a job's string: its payload, and how many seconds ago it was added
    USUAL: (b"payload", 0.5),
    b"1764547199500000999": (b"", 0.5),
    b"": (b"", 0.0),
    b"17645471995": (b"17645471995", 0.0),
    b"176454719950000000x": (b"176454719950000000x", 0.0),
    b"17645471995000,0005payload": (b"17645471995000,0005payload", 0.0),
    b" 764547199500000005": (b" 764547199500000005", 0.0),
    b"0000000000000000005old": (b"old", NOW / 1e6),
    b"9999999999999999999new": (b"new", (NOW - 9_999_999_999_999_999) / 1e6),
}


def claimed(strings: Sequence[bytes]) -> list[tuple[bytes, float]]:
    run = msgspec.msgpack.encode([1])
    ids = [f"j{number}" for number in range(len(strings))]
    found = claims("q", NOW, ids, run * len(strings), strings)
    assert [each.id for each in found] == ids
    assert all(each.size == len(each.payload) for each in found)
    return [(each.payload, each.age) for each in found]


@pytest.mark.parametrize("strings", [*itertools.permutations(STRINGS, 2)])
def test_what_a_string_is_does_not_depend_on_those_beside_it(strings: tuple[bytes, ...]) -> None:
    assert claimed(strings) == [STRINGS[each] for each in strings]
    assert claimed([USUAL, *strings, USUAL]) == [STRINGS[each] for each in (USUAL, *strings, USUAL)]


def test_changes_name_their_kinds_once() -> None:
    done = [Change(queue="q", id=f"j{number}", edge="succeed", token=1) for number in range(3)]
    failed = Change(queue="q", id="f", edge="fail", token=2, error=b"{}", failures=1)
    [kinds, rows, *left] = change_args([done[0], failed, *done[1:]])
    assert isinstance(kinds, bytes)
    assert isinstance(rows, bytes)
    assert len(msgspec.msgpack.decode(kinds)) == 3  # whom to wake, and two kinds
    flat = msgspec.msgpack.decode(rows)
    assert flat[::4] == [1, 2, 1, 1]
    assert flat[1::4] == ["j0", "f", "j1", "j2"]
    assert left == ["error", b"{}"]
