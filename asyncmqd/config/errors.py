"""What is wrong with a configuration: every problem at once, each with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from asyncmqd.domain.safe_text import clean

NOT_SHOWN = "a problem that hide_arguments hides; `asyncmqd check` names it"
Path = tuple[str | int, ...]
"""The way to a key: ("queues", "reports", "repeatables", 0, "cron")."""


@dataclass(frozen=True, order=True)
class Place:
    """Where a value was written. Places sort as they are read: files, credentials, environment."""

    layer: int
    line: int
    source: str = field(compare=False)  # a file as the user named it, or ENV:NAME
    has_lines: bool = field(default=True, compare=False)

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.has_lines else self.source


@dataclass(frozen=True, order=True)
class ConfigError:
    """One problem. `problem` reads "expected X, got Y" and never holds a password."""

    place: Place
    key: str
    problem: str

    def __str__(self) -> str:
        # One problem is one line that a terminal shows as it is, whatever keys and values hold.
        return clean(" ".join(f"{self.place}: {self.key}: {self.problem}".split()))


class ConfigErrors(Exception):
    """The configuration cannot be used. `str()` is one line a problem, in the order of places."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors: list[ConfigError] = sorted(set(errors))
        super().__init__("\n".join(map(str, self.errors)))

    @property
    def places(self) -> list[str]:
        """Where the problems are, and nothing of what stands there: for `hide_arguments`."""
        return [
            f"{place}: {NOT_SHOWN}" for place in dict.fromkeys(str(e.place) for e in self.errors)
        ]

    def __reduce__(self) -> Any:
        return type(self), (self.errors,), self.__dict__


def dotted(path: Path) -> str:
    """The path as people write it: queues.reports.repeatables[0].cron."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
