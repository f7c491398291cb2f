"""One source of configuration: a file, a drop-in, a credential or a variable."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from asyncmqd.config.errors import ConfigError, Path, Place
from asyncmqd.config.toml import Document


@dataclass
class Layer:
    """What one source sets, and where. Layers of a higher order win."""

    order: int
    source: str  # a file as the user named it, or ENV:NAME
    data: dict[str, Any] = field(default_factory=dict)
    document: Document | None = None
    errors: list[ConfigError] = field(default_factory=list)
    status: os.stat_result | None = None  # of the file that was read
    partial: bool = False  # not all of it could be read, so what seems missing may be there

    def place(self, path: Path = ()) -> Place:
        """The place of a key, or of the nearest table around it that this source wrote."""
        if self.source.startswith("ENV:"):
            return Place(self.order, 0, self.source, has_lines=False)
        line = None
        while self.document is not None and path and line is None:
            line = self.document.places.line(path)
            path = path[:-1]
        return Place(self.order, line or 1, self.source)

    def has(self, path: Path) -> bool:
        """Whether this source sets the key."""
        here: Any = self.data
        for part in path:
            if isinstance(part, int):
                if not isinstance(here, list) or part >= len(here):
                    return False
            elif not isinstance(here, dict) or part not in here:
                return False
            here = here[part]
        return True

    def refuse(
        self, key: str, problem: str, *, partial: bool = True, line: int | None = None
    ) -> Layer:
        """Add an error about the source as a whole, or about one line of it."""
        place = self.place() if line is None else Place(self.order, line, self.source)
        self.errors.append(ConfigError(place, key, problem))
        self.partial |= partial
        return self


def merged(layers: Iterable[Layer]) -> dict[str, Any]:
    """All layers as one: tables deeply, everything else replaced by the higher layer."""
    result: dict[str, Any] = {}
    for layer in layers:
        _overlay(result, layer.data)
    return result


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict):
            if not isinstance(below.get(key), dict):
                below[key] = {}
            _overlay(below[key], value)
        else:
            below[key] = value
