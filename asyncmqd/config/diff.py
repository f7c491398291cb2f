"""What a reload would change: a pure comparison of two configurations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from asyncmqd.config.models import QueueSettings, Settings
from asyncmqd.domain.urls import redacted

LIVE_KEYS = frozenset({"shutdown_timeout", "log_level", "payload_limit", "stuck_limit"})
"""Top-level keys that a reload applies. All others are read once, at start."""
WORKER_KEYS = frozenset({"scanners"})
"""Keys of a queue that need its worker to be started anew; the others change in place."""
_MERGED = frozenset({"queues", "defaults"})  # [defaults] show in the queues that they change


@dataclass(frozen=True)
class KeyChange:
    """One key that differs, with both values as the models hold them."""

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        old, new = _plain(self.old), _plain(self.new)
        if old == new:
            return f"{self.key}: {_words(old)} (another user or password)"
        return f"{self.key}: {_words(old)} -> {_words(new)}"

    def to_dict(self) -> dict[str, Any]:
        """The change as JSON values, without passwords."""
        return {"key": self.key, "old": _plain(self.old), "new": _plain(self.new)}


@dataclass(frozen=True)
class Plan:
    """The difference between two configurations, by what has to be done about it."""

    added: tuple[str, ...] = ()  # queues to start
    removed: tuple[str, ...] = ()  # queues to drain and stop
    changed: dict[str, tuple[KeyChange, ...]] = field(default_factory=dict)  # by queue
    restarts_worker: frozenset[str] = frozenset()  # changed queues whose worker starts anew
    live: tuple[KeyChange, ...] = ()  # top-level keys that apply at once
    restart: tuple[KeyChange, ...] = ()  # top-level keys that wait for the daemon's restart

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not (self.added or self.removed or self.changed or self.live or self.restart)

    def lines(self) -> list[str]:
        """The plan for people, one line for each change."""
        lines = [f"+ queue {name}: start" for name in self.added]
        lines += [f"- queue {name}: drain and stop" for name in self.removed]
        for name, changes in self.changed.items():
            how = " (its worker restarts)" if name in self.restarts_worker else ""
            lines += [f"~ queue {name}: {change}{how}" for change in changes]
        lines += [f"~ {change}" for change in self.live]
        lines += [f"! {change} (needs a restart of the daemon)" for change in self.restart]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values, without passwords."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": {
                name: [change.to_dict() for change in changes]
                for name, changes in self.changed.items()
            },
            "restarts_worker": sorted(self.restarts_worker),
            "live": [change.to_dict() for change in self.live],
            "restart": [change.to_dict() for change in self.restart],
        }


def diff(old: Settings, new: Settings) -> Plan:
    """What has to happen to get from `old` to `new`. Queues are in name order."""
    changed = {
        name: changes
        for name in sorted(old.queues.keys() & new.queues.keys())
        if (changes := _changes(old.queues[name], new.queues[name]))
    }
    top = [change for change in _changes(old, new) if change.key not in _MERGED]
    return Plan(
        added=tuple(sorted(new.queues.keys() - old.queues.keys())),
        removed=tuple(sorted(old.queues.keys() - new.queues.keys())),
        changed=changed,
        restarts_worker=frozenset(
            name
            for name, changes in changed.items()
            if any(change.key in WORKER_KEYS for change in changes)
        ),
        live=tuple(change for change in top if change.key in LIVE_KEYS),
        restart=tuple(change for change in top if change.key not in LIVE_KEYS),
    )


def _changes(old: Settings | QueueSettings, new: Settings | QueueSettings) -> tuple[KeyChange, ...]:
    return tuple(
        KeyChange(key, getattr(old, key), getattr(new, key))
        for key in type(old).model_fields
        if getattr(old, key) != getattr(new, key)
    )


def _plain(value: Any) -> Any:
    """The value as JSON has it; of a secret URL, what may be seen."""
    if isinstance(value, SecretStr):
        return redacted(value.get_secret_value())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _words(value: Any) -> str:
    """A plain value for a line: an unset one in a word, tables of an array by their number."""
    if value is None:
        return "unset"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return f"{len(value)} entr{'y' if len(value) == 1 else 'ies'}"
    return str(value)
