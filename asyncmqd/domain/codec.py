"""JSON in and out: arguments, results and job payloads, strictly, with errors that say where.

Values are JSON plus datetime, date, time, timedelta, UUID, Decimal, bytes, enums, dataclasses,
msgspec structs and pydantic models, and subclasses of them (foreign_types.py); what comes back is
decided by type hints (hints/). Never pickle.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from itertools import accumulate
from types import NoneType
from typing import Any

import msgspec

from asyncmqd.domain.foreign_types import Unwritable, is_pydantic, is_textual, written
from asyncmqd.domain.job import JobSpec
from asyncmqd.domain.options import DEFAULT_PRIORITY, IN_PAYLOAD, KEY, Table, table_of
from asyncmqd.domain.round_trip import fields_of

DEFAULT_PAYLOAD_LIMIT = 256 * 1024  # bytes
MAX_DEPTH = 100  # arrays and objects in each other; Python itself gives up at about a thousand

NOT_STORED = "the task returned, but its result cannot be stored"

_LONGEST_ID = 128  # characters
_LONG = 1_000  # bytes
_SHALLOW = 2 * MAX_DEPTH  # bytes that cannot be too deep
_AS_ARRAYS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_FLAT = 3  # levels
_STEP = (ord("[") + 1).__sub__  # 1 for an opening bracket, -1 for a closing one


class NotSerialisable(TypeError):
    """A value that JSON cannot carry: the message names its path and type."""


class PayloadTooLarge(ValueError):
    """An encoded job, result or progress over the limit."""


class CorruptPayload(ValueError):
    """A stored payload that is not a job."""


_ONLY_KEY = table_of(KEY)  # what most jobs have that have a key
_encoder = msgspec.json.Encoder(enc_hook=written)
_spec_decoder = msgspec.json.Decoder(JobSpec)
_value_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def encode(value: Any, what: str = "value") -> bytes:
    """The value as JSON. Raises NotSerialisable with the path, starting at `what`, and the type."""
    try:
        data = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotSerialisable(_explain(value, what) or f"{what}: {error}") from None
    # msgspec writes NaN and the infinities as null. Looking at every float would cost more than
    # the encoding, so only values that came out with a null in them are looked at.
    if b"null" in data and (problem := _explain(value, what)):
        raise NotSerialisable(problem)
    if _too_deep(data):
        raise NotSerialisable(_explain(value, what) or _deeper(what))
    return data


def encode_result(value: Any) -> bytes:
    """What a task returned, as JSON. Raises NotSerialisable, whatever the value's own code does."""
    try:
        return encode(value, "result")
    except Exception as error:
        raise NotSerialisable(f"{NOT_STORED}: {error}") from error


def encode_spec(spec: JobSpec, limit: int = DEFAULT_PAYLOAD_LIMIT) -> bytes:
    """The job as it is stored. Raises NotSerialisable or PayloadTooLarge (`limit` in bytes)."""
    try:
        data = _encoder.encode(spec)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotSerialisable(_explain_call(spec) or f"arguments: {error}") from None
    if b"null" in data and (problem := _explain_call(spec)):
        raise NotSerialisable(problem)
    if _too_deep(data):
        raise NotSerialisable(_explain_call(spec) or _deeper("arguments"))
    if len(data) > limit:
        raise PayloadTooLarge(
            f"job of task {spec.task}: expected a payload of at most {limit} bytes, got {len(data)}"
        )
    return data


def _explain_call(spec: JobSpec) -> str | None:
    return _explain(spec.args, "args", 1) or _explain(spec.kwargs, "kwargs", 1)


def decode_spec(
    data: bytes, limit: int = DEFAULT_PAYLOAD_LIMIT, size: int = 0, *, id: str = ""
) -> JobSpec:
    """The job that was stored.

    `id` is the job's own: the payload may have come later, in a job of the same unique name.
    `size` is what the payload has in the store, if `data` may be only its beginning. Raises
    PayloadTooLarge for more than `limit` bytes, and CorruptPayload for anything else. Size comes
    first, so that an oversized payload is never parsed, and depth second.
    """
    if not data:
        raise CorruptPayload("the payload is gone from the store")
    if len(data) > limit or size > limit:
        raise PayloadTooLarge(
            f"expected a payload of at most {limit} bytes, got {max(len(data), size)}"
        )
    try:
        if len(data) > _SHALLOW:
            _refuse_deep(data)
        spec = _spec_decoder.decode(data)
    except (ValueError, RecursionError) as error:  # msgspec's and Unicode errors are ValueErrors
        raise _corrupt(error) from None
    # What our own encoder wrote comes out the same again. Only what somebody else wrote, or a
    # release with more fields, is read once more, by a parser that tells of a key that comes twice.
    if _encoder.encode(spec) != data:
        _refuse_twins(data)
    if not _is_job_id(spec.id) or not spec.task:
        raise CorruptPayload("expected a job id and a task name")
    # Looked at one by one, in as few steps as there are: most jobs ask for nothing.
    if (
        spec.priority != DEFAULT_PRIORITY
        or spec.retries is not None
        or spec.timeout is not None
        or spec.ttl is not None
        or spec.cost is not None
    ):
        _check_options(spec, IN_PAYLOAD)
    elif spec.key is not None:
        _check_options(spec, _ONLY_KEY)
    return msgspec.structs.replace(spec, id=id) if id and spec.id != id else spec


def _is_job_id(text: str) -> bool:
    """Whether `JOB_ID` matches, in the cheapest way for ids that we have made."""
    if len(text) <= _LONGEST_ID and text.encode().isalnum():
        return True
    visible = text.isascii() and text.isprintable() and " " not in text
    return visible and 0 < len(text) <= _LONGEST_ID


def _check_options(spec: JobSpec, options: Table) -> None:
    try:
        for name, option in options.items():
            value = getattr(spec, name)
            if value is not None:
                option.check(value)
    except ValueError as error:
        raise CorruptPayload(str(error)) from None


def decode(data: bytes) -> Any:
    """A stored JSON value as plain Python objects. Raises CorruptPayload."""
    try:
        _refuse_deep(data)
        return _value_decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise _corrupt(error) from None


def _corrupt(error: Exception) -> CorruptPayload:
    return CorruptPayload(str(error) or type(error).__name__)


def _refuse_deep(data: bytes) -> None:
    if _too_deep(data):
        raise CorruptPayload(f"expected at most {MAX_DEPTH} levels of nesting, got more")


def _too_deep(data: bytes) -> bool:
    # Each level has two brackets, or it is no JSON.
    if len(data) <= _SHALLOW or _count(data, b"[") + _count(data, b"{") <= MAX_DEPTH:
        return False
    # By bytes methods only: a loop or a regular expression takes longer than the decoding.
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_of_texts = b"".join(unescaped.split(b'"')[::2])
    brackets = outside_of_texts.translate(_AS_ARRAYS, _NO_BRACKETS)
    for _ in range(_FLAT):  # most values are no deeper than that
        brackets = brackets.replace(b"[]", b"")  # the innermost level
    # What is left of deep ones is counted: to replace a hundred levels of 256 kB would take 200 ms.
    return max(accumulate(map(_STEP, brackets)), default=0) > MAX_DEPTH - _FLAT


def _count(data: bytes, byte: bytes) -> int:
    """How often the byte occurs; of a long text no more than `MAX_DEPTH` + 1 are counted."""
    if len(data) < _LONG:
        return data.count(byte)
    # `count` looks at one byte at a time, `find` at many: eight times as fast for 200 kB of text.
    count, at = 0, data.find(byte)
    while at >= 0 and count <= MAX_DEPTH:
        count, at = count + 1, data.find(byte, at + 1)
    return count


def _refuse_twins(data: bytes) -> None:
    """Raise CorruptPayload if an object has a key twice: parsers differ in which one they take."""
    try:
        json.loads(data.decode(), object_pairs_hook=_unique)
    except CorruptPayload:
        raise
    except ValueError as error:  # a number of more digits than Python turns into an integer
        raise CorruptPayload(str(error)) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise CorruptPayload(f"expected each key once, got {name[:80]!r} again")
        table[name] = value
    return table


def _explain(value: Any, path: str, depth: int = 0) -> str | None:
    """Where in `value` the first thing stands that JSON cannot carry, or None."""
    # By its type: Django's lazy objects say that their class is that of what they stand for.
    if issubclass(type(value), NoneType | bool | int | float | str):
        return _explain_scalar(value, path)
    if depth >= MAX_DEPTH:
        return _deeper(path)
    if isinstance(value, Enum):
        return _explain(value.value, path, depth + 1)
    if is_pydantic(type(value)):
        return _explain_model(value, path, depth)
    if isinstance(value, Mapping) and (problem := _explain_keys(value, path)):
        return problem
    for key, child in _children(value):
        if problem := _explain(child, f"{path}{key}", depth + 1):
            return problem
    try:
        _encoder.encode(value)
    except Unwritable as error:
        return f"{path}: {error}"
    except (TypeError, ValueError, OverflowError, RecursionError):
        text = _explain_scalar(str(value), path) if is_textual(type(value)) else None
        return text or f"{path}: a value of type {type(value).__name__} cannot be carried by JSON"
    return None


def _explain_model(value: Any, path: str, depth: int) -> str | None:
    try:
        _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        for name, child in (fields_of(value) or {}).items():
            if problem := _explain(child, f"{path}.{name}", depth + 1):
                return problem
        return f"{path}: {error}"
    return None


def _deeper(path: str) -> str:
    return f"{path}: nested deeper than {MAX_DEPTH} levels (or it contains itself)"


def _explain_scalar(value: bool | float | str | None, path: str) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path}: expected a finite number, got {value!r}"
    if not isinstance(value, str):
        return _explain_integer(value, path) if isinstance(value, int) else None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return f"{path}: a lone surrogate at character {error.start} cannot be carried by JSON"
    return None


def _explain_integer(value: int, path: str) -> str | None:
    try:
        int.__repr__(value)
    except ValueError:  # what Python's own limit says: nobody could read it back
        most = sys.get_int_max_str_digits()
        return f"{path}: an integer of more than {most} digits cannot be carried by JSON"
    return None


def _explain_keys(value: Mapping[Any, Any], path: str) -> str | None:
    for key in value:
        try:
            _encoder.encode({key: 0})
        except (TypeError, ValueError, OverflowError):
            kind = type(key).__name__
            return f"{path}: a key of type {kind}, {key!r}, cannot be carried by JSON"
    return None


def _children(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", child) for key, child in value.items()]
    if isinstance(value, bytes | bytearray | memoryview):
        return []
    if isinstance(value, Sequence):
        return [(f"[{index}]", child) for index, child in enumerate(value)]
    if isinstance(value, AbstractSet):
        return [("{}", child) for child in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f".{f.name}", getattr(value, f.name, None)) for f in dataclasses.fields(value)]
    if isinstance(value, msgspec.Struct):
        return [(f".{name}", getattr(value, name, None)) for name in value.__struct_fields__]
    return []
