"""`LogTail`: the last lines that a run logged or printed, for the case that it fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from asyncmqd.observe.json_lines import HEAD, bounded, json_line

LINES = 50  # that are kept
VALUE_LIMIT = 1_000  # characters of the text of a line, and of each of its fields
FIELDS = 12  # of a line
SIZE_LIMIT = 8 * 1024  # bytes of all lines together, as JSON


class LogTail:
    """Lines come from any thread. Of the application's values nothing is kept but text."""

    def __init__(self) -> None:
        self._lines: deque[dict[str, Any]] = deque(maxlen=LINES)

    def add(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Keep events of the log, which have their heads."""
        self._lines.extend(bounded(event, FIELDS, VALUE_LIMIT) for event in events)

    def lines(self) -> tuple[dict[str, Any], ...]:
        """As many of the last ones as `SIZE_LIMIT` allows, as JSON has them."""
        left = SIZE_LIMIT
        found: list[dict[str, Any]] = []
        for event in reversed([*self._lines]):
            line = json_line(event)
            if len(line) > left and not found:  # its fields are too many, or too long
                line = json_line({key: event[key] for key in HEAD if key in event})
            left -= len(line)
            if left < 0:
                break
            found.append(msgspec.json.decode(line, type=dict[str, Any]))
        return tuple(reversed(found))
