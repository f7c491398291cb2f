"""The key of a job: whose it is. It is decided when the job is enqueued."""

from __future__ import annotations

from typing import Any

from asyncmqd.domain.codec import decode, encode
from asyncmqd.domain.options import KEY
from asyncmqd.domain.tasks import TaskDef


def key_of(task: TaskDef, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """The key that `task` declares for a job, None if it has none.

    Raises NotSerialisable for a value that JSON cannot carry, and ValueError for what is no key.
    """
    rule = task.rules.get("key")
    if rule is None:
        return None
    where = f"task {task.name}: key: {rule.source}"
    text = _text(rule.value(args, kwargs), where)
    if text is None:
        return None
    try:
        return str(KEY.kind.check(text))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _text(value: Any, where: str) -> Any:
    """The value as JSON has it, as text; an array or an object stays what it is."""
    if value is None or type(value) is str:
        return value
    data = encode(value, where)
    plain = decode(data)
    return data.decode() if isinstance(plain, bool | int | float) else plain
