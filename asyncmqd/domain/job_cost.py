"""What a job costs: the tokens that each of its starts takes of every rate limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncmqd.domain.options import COST
from asyncmqd.domain.tasks import TaskDef


def cost_of(task: TaskDef, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    """What `task` declares of a job with these arguments; None of them is one token.

    Raises ValueError for what is no cost.
    """
    rule = task.rules.get("cost")
    if rule is None:
        assert isinstance(task.options.cost, int)
        return task.options.cost
    value = rule.value(args, kwargs)
    if value is None:
        return 1
    try:
        return int(COST.kind.check(value))
    except ValueError as error:
        raise ValueError(f"task {task.name}: cost: {rule.source}: {error}") from None
