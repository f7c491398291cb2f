"""JSON in and out: what it carries, what it refuses and how it says so."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from asyncmqd.domain.codec import (
    CorruptPayload,
    NotSerialisable,
    PayloadTooLarge,
    decode,
    decode_spec,
    encode,
    encode_spec,
)
from asyncmqd.domain.job import JobSpec
from asyncmqd.domain.options import JOB_ID

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
)


class Opaque:
    pass


class Safe(str):
    """As a framework's text that is marked as safe."""

    __slots__ = ()

    def __str__(self) -> str:
        return self


class Count(int):
    def __repr__(self) -> str:
        return "many"


class Share(float):
    pass


class Blob(bytes):
    pass


class Moment(datetime):
    pass


class Precise(datetime):
    """As a moment that knows more than microseconds."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Precise) and super().__eq__(other)

    __hash__ = datetime.__hash__


class Member(BaseModel):
    name: str
    score: float | None = None


class Team(BaseModel):
    members: list[Member]


@dataclasses.dataclass
class Match:
    team: Team
    names: list[str]


NOON = (2026, 1, 1, 12, 0, 0, 5, UTC)


def endless() -> list[object]:
    loop: list[object] = []
    loop.append(loop)
    return loop


def nested(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels):
        value = [value]
    return value


@given(json_values)
def test_json_comes_back_as_it_went(value: object) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Opaque(), "args: a value of type Opaque cannot be carried by JSON"),
        ([1, {"a": [0, Opaque()]}], "args[1]['a'][1]: a value of type Opaque cannot"),
        ({"f": print}, "args['f']: a value of type builtin_function_or_method cannot"),
        ([1j], "args[0]: a value of type complex cannot"),
        ((n for n in ()), "args: a value of type generator cannot"),
        ({Opaque}, "args{}: a value of type type cannot"),
        (math.nan, "args: expected a finite number, got nan"),
        ({"x": [None, math.inf]}, "args['x'][1]: expected a finite number, got inf"),
        ([-math.inf], "args[0]: expected a finite number, got -inf"),
        ("ab\ud800", "args: a lone surrogate at character 2 cannot be carried by JSON"),
        ([Path("a\udcff")], "args[0]: a lone surrogate at character 1 cannot be carried by JSON"),
        ([["\udfff"]], "args[0][0]: a lone surrogate at character 0"),
        ({(1, 2): 3}, "args: a key of type tuple, (1, 2), cannot be carried by JSON"),
        ({"a": {None: 3}}, "args['a']: a key of type NoneType, None, cannot"),
        ({"\ud800": 3}, "args: a key of type str, '\\ud800', cannot"),
    ],
)
def test_what_json_cannot_carry_is_named_with_its_place(value: object, problem: str) -> None:
    with pytest.raises(NotSerialisable) as caught:
        encode(value, "args")
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("value", [endless(), nested(100_000)], ids=["endless", "deep"])
def test_endless_nesting_is_refused(value: object) -> None:
    with pytest.raises(NotSerialisable, match="nested deeper than 100 levels"):
        encode(value)


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (Safe("x"), "x"),
        (Count(5), 5),
        (Share(0.5), 0.5),
        (Blob(b"x"), b"x"),
        (Moment(*NOON), datetime(*NOON)),  # noqa: DTZ001 - UTC is among them
        ({Safe("k"): [Safe("v")], Count(3): Share(1)}, {"k": ["v"], 3: 1.0}),
        (Match(Team(members=[]), [Safe("a")]), Match(Team(members=[]), ["a"])),
    ],
    ids=repr,
)
def test_a_subclass_is_carried_as_what_it_is_a_subclass_of(value: object, base: object) -> None:
    assert encode(value) == encode(base)
    assert encode_spec(spec(value)) == encode_spec(spec(base))


class Lazy:
    """As Django's lazy objects are: of the class of what they stand for, if one asks them."""

    __class__ = property(lambda self: int)  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({True: 1}, "args[0]: a key of type bool, True, cannot be carried by JSON"),
        ([Lazy()], "args[0][0]: a value of type Lazy cannot be carried by JSON"),
        ({"a": 10**5000}, "args[0]['a']: an integer of more than 4300 digits cannot be carried by"),
        (Share("nan"), "args[0]: expected a finite number, got nan"),
        (Precise(*NOON), "args[0]: a value of type Precise is more than the datetime.datetime(20"),
        (
            Match(Team(members=[]), ["a", Opaque()]),  # type: ignore[list-item]
            "args[0].names[1]: a value of type Opaque cannot be carried by JSON",
        ),
        (
            Match(Team(members=[Member(name="a"), Member(name="b", score=math.nan)]), []),
            "args[0].team.members[1].score: expected a finite number, got nan",
        ),
        (
            [Member.model_construct(name=5)],  # type: ignore[arg-type]
            "args[0][0]: a value of type Member does not come back from JSON: 1 validation error",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_refused_is_named_at_its_own_place(value: object, problem: str) -> None:
    with pytest.raises(NotSerialisable) as caught:
        encode_spec(spec(value))
    assert str(caught.value).startswith(problem)


def test_a_null_is_no_hidden_nan() -> None:
    assert encode({"a": None, "b": [None, 1.5]}) == b'{"a":null,"b":[null,1.5]}'
    assert encode("null") == b'"null"'


def spec(*args: object, **kwargs: object) -> JobSpec:
    return JobSpec(id="a", task="t", args=list(args), kwargs=kwargs)


@given(st.one_of(st.text(), st.text(st.characters(max_codepoint=0x80), max_size=130)))
@example("a" * 128)
@example("a" * 129)
@example("~!")
@example("a b")
@example("a\x7f")
def test_an_id_is_one_if_its_pattern_says_so(id: str) -> None:
    payload = msgspec.json.encode({"id": id, "task": "t"})
    if JOB_ID.fullmatch(id):
        assert decode_spec(payload).id == id
    else:
        with pytest.raises(CorruptPayload, match="expected a job id"):
            decode_spec(payload)


def test_a_job_comes_back_as_it_was_stored() -> None:
    full = JobSpec(
        id="a",
        task="mod.f",
        args=[1, "x"],
        kwargs={"k": None},
        priority=9,
        retries=0,
        timeout=1.5,
        ttl=60.0,
        schedule="nightly",
    )
    assert decode_spec(encode_spec(full)) == full
    assert decode_spec(encode_spec(spec())) == spec()


def test_only_what_was_asked_for_is_stored() -> None:
    assert encode_spec(spec()) == b'{"id":"a","task":"t"}'


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (spec(1, Opaque()), r"args\[1\]: a value of type Opaque"),
        (spec(key=[math.nan]), r"kwargs\['key'\]\[0\]: expected a finite number"),
        (spec("\ud800"), r"args\[0\]: a lone surrogate"),
    ],
)
def test_a_bad_argument_is_named(bad: JobSpec, problem: str) -> None:
    with pytest.raises(NotSerialisable, match=problem):
        encode_spec(bad)


def test_the_limit_is_in_bytes_and_includes_itself() -> None:
    size = len(encode_spec(spec("é" * 100)))
    assert len(encode_spec(spec("é" * 100), limit=size)) == size
    with pytest.raises(PayloadTooLarge, match=rf"at most {size - 1} bytes, got {size}"):
        encode_spec(spec("é" * 100), limit=size - 1)


def test_an_oversized_payload_is_not_even_parsed() -> None:
    data = encode_spec(spec("x" * 100))
    assert decode_spec(data, limit=len(data)).args == ["x" * 100]
    with pytest.raises(PayloadTooLarge, match=f"payload of at most 10 bytes, got {len(data)}$"):
        decode_spec(data, limit=10)
    with pytest.raises(PayloadTooLarge, match=r"payload of at most 10 bytes, got 5000$"):
        decode_spec(data[:11], limit=10, size=5_000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"id":"a"}',
        b'{"id":"a","task":""}',
        b'{"id":"","task":"t"}',
        b'{"id":"a b","task":"t"}',
        b'{"id":"a\\n","task":"t"}',
        b'{"id":1,"task":"t"}',
        b'{"id":"a","task":"t","args":{}}',
        b'{"id":"a","task":"t","kwargs":[]}',
        b'{"id":"a","task":"t","priority":256}',
        b'{"id":"a","task":"t","priority":-1}',
        b'{"id":"a","task":"t","priority":"5"}',
        b'{"id":"a","task":"t","key":""}',
        b'{"id":"a","task":"t","key":"a\\n"}',
        b'{"id":"a","task":"t","key":"' + b"a" * 129 + b'"}',
        b'{"id":"a","task":"t","key":"","ttl":5.0}',
        b'{"id":"a","task":"t","retries":1.5}',
        b'{"id":"a","task":"t","timeout":NaN}',
        b'{"id":"a","task":"t","args":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"id":"a","task":"t"',
        b'{"id":"a","task":"t"} x',
        b'{"id":"a","task":"\xff"}',
        b'{"id":"a","task":"t","task":"u"}',
        b'{"id":"a","task":"t","kwargs":{"to":"me","to":"you"}}',
        b'{"id":"a","task":"t","args":[[{"x":1,"\\u0078":2}]]}',
        b'{"id":"a","task":"t","later":' + b"9" * 5_000 + b"}",
        b'{"id":"a","task":"t","args":["\\ud800"]}',
        b'{"id":"a","task":"t","later":"\\ud800"}',
        b'{"id":"a","task":"t","args":["\xed\xa0\x80"]}',
        b'{"id":"a","task":"t","args":[1e400]}',
        b'{"id":"a","task":"t","args":' + b"[" * 100 + b"]" * 100 + b"}",
    ],
    ids=lambda data: f"{data[:40]!r}",
)
def test_what_is_no_job_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptPayload):
        decode_spec(data)


def test_fields_of_a_later_release_and_other_ways_to_write_json_are_read() -> None:
    data = b' {"task" : "t", "id": "a", "args": [1.50, "\\u00e9"], "later": {"a": 1}}\n'
    assert decode_spec(data) == JobSpec(id="a", task="t", args=[1.5, "é"])


@pytest.mark.parametrize(("open_", "close"), [(b"[", b"]"), (b'{"k":', b"}")])
def test_what_may_be_enqueued_may_be_claimed_to_the_last_level(open_: bytes, close: bytes) -> None:
    """The job and its `args` are two of the hundred levels."""
    deepest = decode(open_ * 98 + b"1" + close * 98)
    data = encode_spec(spec(deepest))
    assert decode_spec(data).args == [deepest]
    with pytest.raises(NotSerialisable, match="nested deeper than 100 levels"):
        encode_spec(spec([deepest]))
    with pytest.raises(CorruptPayload, match="expected at most 100 levels of nesting, got more"):
        decode_spec(data.replace(b"1", b"[1]"))
    assert decode(encode([[deepest]])) == [[deepest]]
    with pytest.raises(NotSerialisable, match="nested deeper"):
        encode([[[deepest]]])


@given(st.text("[]", max_size=400) | st.lists(st.integers(1, 150), max_size=20))
def test_how_deep_a_value_is_does_not_depend_on_its_form(form: str | list[int]) -> None:
    text = form if isinstance(form, str) else ",".join("[" * n + "]" * n for n in form)
    data = f"[{text}]".encode()
    deepest = max(accumulate(1 if c == "[" else -1 if c == "]" else 0 for c in f"[{text}]"))
    try:
        json.loads(data)
    except ValueError:
        return  # what is no JSON is refused anyhow
    if deepest <= 100:
        assert decode(data) == json.loads(data)
    else:
        with pytest.raises(CorruptPayload, match="expected at most 100 levels"):
            decode(data)


def test_brackets_in_texts_are_no_nesting() -> None:
    text = '["\\{[' * 200
    assert decode_spec(encode_spec(spec(text, [[]] * 200))).args == [text, [[]] * 200]


@given(st.binary(max_size=200) | st.binary(max_size=30).map(lambda b: b'{"id":"a","task":"' + b))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(CorruptPayload):
        decode_spec(data)


@given(st.binary(max_size=100))
def test_a_stored_value_is_json_or_corrupt(data: bytes) -> None:
    with contextlib.suppress(CorruptPayload):
        decode(data)
