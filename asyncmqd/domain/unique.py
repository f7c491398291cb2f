"""The names of unique jobs. Of the jobs of a queue that have one name, one at most is live.

A store compares the digest of a name, and nothing else of it; people see the label.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from asyncmqd.domain.codec import NotSerialisable, encode
from asyncmqd.domain.foreign import written
from asyncmqd.domain.options import UNIQUE_TEXT, shown
from asyncmqd.domain.tasks import TaskDef

_LONGEST_LABEL = 200  # characters

_encoder = msgspec.json.Encoder(enc_hook=written, order="deterministic")


class UniqueName(msgspec.Struct, frozen=True):
    """The name of one job."""

    label: str  # for people
    digest: str  # SHA-256, in hexadecimal


def of_text(text: str) -> UniqueName:
    """The name that a producer gave: all tasks of the queue share such names."""
    return _name(text, "text", text)


def of_call(
    task: TaskDef, args: tuple[Any, ...], kwargs: dict[str, Any], asked: bool | str | None
) -> UniqueName | None:
    """The name of a job of `task`, None if it has none.

    `asked` is what the producer says: text, True (task and arguments), False (no name), or None
    for what the task declares. Raises NotSerialisable for a value that JSON cannot carry, and
    ValueError for a name that is none.
    """
    if asked is None:
        return _declared(task, args, kwargs)
    if isinstance(asked, str):
        return of_text(asked)
    return _of_arguments(task, args, kwargs) if asked else None


def _declared(task: TaskDef, args: tuple[Any, ...], kwargs: dict[str, Any]) -> UniqueName | None:
    declared = task.options.unique
    if not declared:
        return None
    if declared is True:
        return _of_arguments(task, args, kwargs)
    if isinstance(declared, str):
        value = task.argument(declared, args, kwargs)
        if value is None:
            return None
        return _name(f"{declared}={shown(value)}", "parameter", task.name, declared, value)
    text = declared(*args, **kwargs)
    if text is None:
        return None
    try:
        return _name(UNIQUE_TEXT.check(text), "function", task.name, text)
    except ValueError as error:
        raise ValueError(f"task {task.name}: {error} from its function") from None


def _of_arguments(task: TaskDef, args: tuple[Any, ...], kwargs: dict[str, Any]) -> UniqueName:
    return _name("its arguments", "arguments", task.name, task.bound(args, kwargs))


def _name(label: str, *parts: Any) -> UniqueName:
    """The name that these parts make: the same in every process, whatever the order of keys."""
    encode(parts, "unique")  # which says where a value stands that cannot be carried
    try:
        canonical = _encoder.encode(parts)
    except (TypeError, ValueError) as error:  # a set of what cannot be sorted
        raise NotSerialisable(f"unique: {error}") from None
    return UniqueName(label[:_LONGEST_LABEL], hashlib.sha256(canonical).hexdigest())
