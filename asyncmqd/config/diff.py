"""What a reload would change: a pure comparison of two configurations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from asyncmqd.config.http import Http
from asyncmqd.config.models import LIVE_KEYS, Settings
from asyncmqd.config.otel import Otel
from asyncmqd.config.tables import keys_of
from asyncmqd.config.values import Secret
from asyncmqd.config.webhooks import Webhook
from asyncmqd.domain.queue_options import FIXED_KEYS, KeyOptions
from asyncmqd.domain.schedule import Repeatable, local_time, upcoming
from asyncmqd.domain.url_redaction import redacted

FORESEEN = 3  # instants that are listed of a schedule
_MERGED = frozenset({"queues", "defaults"})  # [defaults] show in the queues that they change
_ARGUMENTS = frozenset({"args", "kwargs"})  # data of the application, which is not for others
_SECRETS = frozenset({"exporter_otlp_headers"})  # which hold keys, and no URL
_HIDDEN = "***"
_SIGNS = {"added": "+", "changed": "~", "removed": "-"}


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
        """The change as JSON values, without passwords and without arguments of jobs."""
        if self.key in _ARGUMENTS:
            return {"key": self.key, "old": _HIDDEN, "new": _HIDDEN}
        return {"key": self.key, "old": _plain(self.old), "new": _plain(self.new)}


@dataclass(frozen=True)
class ScheduleChange:
    """A schedule that comes, goes or differs. Its identity is its queue and its name."""

    queue: str
    name: str
    change: Literal["added", "changed", "removed"]
    schedule: Repeatable  # as it will be, or as it was
    keys: tuple[KeyChange, ...] = ()  # of one that is changed

    def next_times(self, now: float) -> list[str]:
        """The next instants after `now` (Unix time), in the schedule's own time zone."""
        if self.change == "removed":
            return []
        instants = upcoming(self.schedule, now, FORESEEN)
        return [local_time(self.schedule, instant) for instant in instants]

    def line(self, now: float | None) -> str:
        """The change for people, with the next times unless `now` is None."""
        details = [f"{key.key} changed" if key.key in _ARGUMENTS else str(key) for key in self.keys]
        if self.change == "removed":
            details.append("this daemon no longer fires it")
        elif now is not None:
            details.append(f"next {', '.join(self.next_times(now)) or 'never'}")
        line = f"{_SIGNS[self.change]} schedule {self.queue}/{self.name}"
        return f"{line}: {'; '.join(details)}" if details else line

    def to_dict(self, now: float | None) -> dict[str, Any]:
        """The change as JSON values."""
        return {
            "queue": self.queue,
            "name": self.name,
            "change": self.change,
            "next": [] if now is None else self.next_times(now),
        }


@dataclass(frozen=True)
class Plan:
    """The difference between two configurations, by what has to be done about it."""

    added: tuple[str, ...] = ()  # queues to start
    removed: tuple[str, ...] = ()  # queues to drain and stop
    changed: dict[str, tuple[KeyChange, ...]] = field(default_factory=dict)  # by queue
    restarts_worker: frozenset[str] = frozenset()  # changed queues whose worker starts anew
    schedules: tuple[ScheduleChange, ...] = ()  # of queues that come and go, too
    live: tuple[KeyChange, ...] = ()  # top-level keys that apply at once
    restart: tuple[KeyChange, ...] = ()  # top-level keys that wait for the daemon's restart

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not (self.added or self.removed or self.changed or self.live or self.restart)

    def lines(self, now: float | None = None) -> list[str]:
        """The plan for people, one line for each change.

        With `now`, a Unix time, schedules that come or change are told with their next times.
        """
        lines = [f"+ queue {name}: start" for name in self.added]
        lines += [f"- queue {name}: drain and stop" for name in self.removed]
        for name, changes in self.changed.items():
            how = " (its worker restarts)" if name in self.restarts_worker else ""
            lines += [
                f"~ queue {name}: {change}{how}"
                for change in changes
                if change.key != "repeatables"  # each of them has a line of its own
            ]
        lines += [change.line(now) for change in self.schedules]
        lines += [f"~ {change}" for change in self.live]
        lines += [f"! {change} (needs a restart of the daemon)" for change in self.restart]
        return lines

    def to_dict(self, now: float | None = None) -> dict[str, Any]:
        """The plan as JSON values, without passwords; `now` as for `lines`."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": {
                name: [change.to_dict() for change in changes]
                for name, changes in self.changed.items()
            },
            "restarts_worker": sorted(self.restarts_worker),
            "schedules": [change.to_dict(now) for change in self.schedules],
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
    top = [change for each in top for change in _parts(each)]
    return Plan(
        added=tuple(sorted(new.queues.keys() - old.queues.keys())),
        removed=tuple(sorted(old.queues.keys() - new.queues.keys())),
        changed=changed,
        restarts_worker=frozenset(
            name
            for name, changes in changed.items()
            if any(change.key in FIXED_KEYS for change in changes)
        ),
        schedules=tuple(_schedule_changes(_schedules(old), _schedules(new))),
        live=tuple(change for change in top if change.key in LIVE_KEYS),
        restart=tuple(change for change in top if change.key not in LIVE_KEYS),
    )


_Table = Settings | msgspec.Struct
_Schedules = dict[tuple[str, str], Repeatable]  # by queue and name


def _schedules(settings: Settings) -> _Schedules:
    return {
        (name, repeatable.key): repeatable
        for name, queue in settings.queues.items()
        for repeatable in queue.repeatables
    }


def _schedule_changes(old: _Schedules, new: _Schedules) -> Iterator[ScheduleChange]:
    for identity in sorted(old.keys() | new.keys()):
        before, after = old.get(identity), new.get(identity)
        if before is after:  # read once, from files that have not changed
            continue
        if after is None:
            yield ScheduleChange(*identity, "removed", old[identity])
        elif before is None:
            yield ScheduleChange(*identity, "added", after)
        elif before != after and (keys := _changes(before, after)):
            yield ScheduleChange(*identity, "changed", after, keys)


def _changes(old: _Table, new: _Table) -> tuple[KeyChange, ...]:
    if old is new:
        return ()
    return tuple(
        KeyChange(key, getattr(old, key), getattr(new, key))
        for key in keys_of(type(old))
        if getattr(old, key) != getattr(new, key)
    )


def _parts(change: KeyChange) -> tuple[KeyChange, ...]:
    """The keys of a table that differ, by their dotted names; any other key as it is."""
    if not isinstance(change.old, Http):
        return (change,)
    changes = _changes(change.old, change.new)
    return tuple(KeyChange(f"{change.key}.{each.key}", each.old, each.new) for each in changes)


def _plain(value: Any) -> Any:
    """The value as JSON has it; of a secret URL, what may be seen."""
    if isinstance(value, Secret):
        return redacted(value.text)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return _plain_table(value)


def _plain_table(value: Any) -> Any:
    """The same of what is a table in the file."""
    if isinstance(value, Repeatable):
        fields: dict[str, Any] = msgspec.to_builtins(value)
        return fields | dict.fromkeys(_ARGUMENTS & fields.keys(), _HIDDEN)
    if isinstance(value, Otel):
        fields = _set_keys({key: getattr(value, key) for key in keys_of(Otel)})
        return fields | dict.fromkeys(_SECRETS & fields.keys(), _HIDDEN)
    if isinstance(value, Webhook):
        return {**_set_keys(msgspec.structs.asdict(value)), "url": _HIDDEN}
    if isinstance(value, KeyOptions):
        return _set_keys(msgspec.structs.asdict(value))
    return value


def _set_keys(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _plain(each) for key, each in values.items() if each is not None}


def _words(value: Any) -> str:
    """A plain value for a line: an unset one in a word, tables of an array by their number."""
    if value is None:
        return "unset"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return f"{len(value)} entr{'y' if len(value) == 1 else 'ies'}"
    if isinstance(value, dict):
        words = ((key, _words(each)) for key, each in value.items())
        tables = any(isinstance(each, dict) for each in value.values())
        return ", ".join(f"{key} ({each})" if tables else f"{key} {each}" for key, each in words)
    return str(value)
