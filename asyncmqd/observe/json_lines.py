"""One event as one line of JSON: whatever its fields are, it is a line, and not too long a one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from io import BytesIO
from itertools import islice
from typing import Any

import msgspec

from asyncmqd.domain.safe_text import clean_json, is_clean

LINE_LIMIT = 48 * 1024  # bytes: the journal splits a longer line on a stream into several entries
_FIELD_LIMITS = (4_000, 400, 40)  # characters that a field of an overlong line keeps
_NAMES = ("queue", "worker", "job_id", "job_key", "task", "attempt", "trace_id")
HEAD = ("timestamp", "level", "event")
_ESSENTIAL = (*HEAD, *_NAMES)
_INT_LIMIT = 2**63

_encoder = msgspec.json.Encoder(enc_hook=str)


def json_line(event: Mapping[str, Any]) -> bytes:
    """The line without its newline, with its long fields cut (`"cut": true`) if need be.

    The result is valid JSON, of at most `LINE_LIMIT` bytes, and holds no newline and nothing else
    that a terminal would obey.
    """
    try:
        line = clean_json(_encoder.encode(event))
    except Exception:  # noqa: BLE001 - a field that JSON cannot carry must not lose the line
        event = {printable(key): _plain(value) for key, value in event.items()}
        line = clean_json(_encoder.encode(event))
    return line if len(line) <= LINE_LIMIT else _cut_line(event)


Fields = Mapping[str, Any] | msgspec.Struct
"""What a line has of its own."""


def with_common(common: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """All that a line has."""
    own = fields if isinstance(fields, Mapping) else msgspec.to_builtins(fields)
    return {**common, **own}


def json_lines(common: Mapping[str, Any], events: Sequence[Fields]) -> list[bytes]:
    """The same for several at once, with their newlines.

    All begin with the fields in `common`, which are encoded once, and each has more. Usual lines
    are looked at together.
    """
    try:
        begin = _encoder.encode(common)[:-1] + b","
        text = _encoder.encode_lines(events)
    except Exception:  # noqa: BLE001 - of one of them, and the others need not be lost
        begin = text = b""
    if is_clean(begin) and is_clean(text):
        # `splitlines` looks at each character for other ends of lines.
        lines = [begin + line[1:] for line in BytesIO(text)]
        if lines and (len(begin) + len(text) <= LINE_LIMIT or max(map(len, lines)) <= LINE_LIMIT):
            return lines
    return [json_line(with_common(common, event)) + b"\n" for event in events]


def _cut_line(event: Mapping[str, Any]) -> bytes:
    for limit in _FIELD_LIMITS:
        line = _encode_cut(event, limit)
        if len(line) <= LINE_LIMIT:
            return line
    # So many fields, or so long names of them, that even forty characters each are too many.
    return _encode_cut({key: event[key] for key in _ESSENTIAL if key in event}, limit)


def _encode_cut(event: Mapping[str, Any], limit: int) -> bytes:
    fields = {key: _shorten(value, limit) for key, value in event.items()}
    return clean_json(_encoder.encode(fields | {"cut": True}))


def text_of(value: object) -> str:
    """Any value as text. Never raises, though its `__repr__` is the application's code."""
    if isinstance(value, str):
        return value
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - the same
        return f"<{type(value).__name__}, which cannot be shown: {type(error).__name__}>"


def printable(value: object) -> str:
    """Any value as text that UTF-8 can carry."""
    return text_of(value).encode("utf-8", "backslashreplace").decode()


def bounded(event: Mapping[str, Any], fields: int, limit: int) -> dict[str, Any]:
    """The first fields of an event, of each no more than so many characters, and nothing else."""
    first = islice(event.items(), fields)
    return {printable(key)[:limit]: _shorten(_plain(value), limit) for key, value in first}


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | float | datetime):
        return value
    if isinstance(value, int) and abs(value) < _INT_LIMIT:
        return value
    return printable(value)


def _shorten(value: Any, limit: int) -> Any:
    if value is None or isinstance(value, bool | int | float | datetime):
        return value
    text = printable(value)
    return text if len(text) <= limit else text[:limit] + "..."
