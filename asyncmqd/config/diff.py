"""What a reload would change: a pure comparison of two configurations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from asyncmqd.config.http import Http
from asyncmqd.config.models import LIVE_KEYS, Settings
from asyncmqd.config.shown import ARGUMENTS, CONCEALED, HIDDEN, NAMED, plain, words
from asyncmqd.config.tables import keys_of
from asyncmqd.domain.queue_options import FIXED_KEYS
from asyncmqd.domain.schedule import Repeatable, local_time, upcoming

FORESEEN = 3  # instants that are listed of a schedule
_MERGED = frozenset({"queues", "defaults"})  # [defaults] show in the queues that they change
_SIGNS = {"added": "+", "changed": "~", "removed": "-"}


@dataclass(frozen=True)
class KeyChange:
    """One key that differs, with both values as the models hold them."""

    key: str
    old: Any
    new: Any
    conceals: bool = False  # that it differs is told, and no value

    def __str__(self) -> str:
        if self.conceals:
            return f"{self.key}: {CONCEALED}"
        old, new = plain(self.old), plain(self.new)
        if old == new:
            return f"{self.key}: {words(old)} (another user or password)"
        return f"{self.key}: {words(old)} -> {words(new)}"

    def to_dict(self) -> dict[str, Any]:
        """The change as JSON values, without passwords and without arguments of jobs."""
        if self.conceals:
            return {"key": self.key, "old": CONCEALED, "new": CONCEALED}
        if self.key in ARGUMENTS:
            return {"key": self.key, "old": HIDDEN, "new": HIDDEN}
        return {"key": self.key, "old": plain(self.old), "new": plain(self.new)}


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
        details = [f"{key.key} changed" if key.key in ARGUMENTS else str(key) for key in self.keys]
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

    @property
    def concealed(self) -> Plan:
        """The same without the names of keys, which belong to an application."""
        changed = {name: tuple(map(_concealed, each)) for name, each in self.changed.items()}
        schedules = (replace(e, keys=tuple(map(_concealed, e.keys))) for e in self.schedules)
        return replace(self, changed=changed, schedules=tuple(schedules))

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


def _concealed(change: KeyChange) -> KeyChange:
    return replace(change, conceals=True) if change.key in NAMED else change


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
        (name, repeatable.identity): repeatable
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
