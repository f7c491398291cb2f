"""What a store says of jobs to add, for assertions."""

from __future__ import annotations

from collections.abc import Iterable

from asyncmqd.domain.job import Added


def are_new(added: Iterable[Added]) -> list[bool]:
    return [each.is_new for each in added]
