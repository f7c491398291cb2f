"""The unique names of a queue, in one transaction: which job has each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.sql_statements import array, as_json
from asyncmqd.backends.sqlite.transaction import Snapshot
from asyncmqd.domain.states import State

_SQL = sql_statements.load("moves.sql")
_ACTIVE = str(State.ACTIVE)
_NEVER = 2**62  # a date after all others: then no name is taken for a time


class Names:
    """A store that has never had a unique job is asked for that once in a transaction."""

    def __init__(self, view: Snapshot, queue: str) -> None:
        self._view = view
        self._queue = queue

    @cached_property
    def _any(self) -> bool:
        return self._view.execute(_SQL["any_name"]).fetchone() is not None

    def of(self, number: int) -> str | None:
        """The name of a job, which may have lost it to another that is gone by now."""
        name: str | None
        (name,) = self._view.execute(_SQL["unique_name"], (number,)).fetchone()
        return name

    def holders(self, names: Iterable[str]) -> dict[str, str]:
        """By name, the ids of the jobs that hold these, by what is written."""
        wanted = array(names)
        if wanted == "[]":
            return {}
        view = self._view
        asked = {"names": wanted, "queue": self._queue, "time": view.time, "active": _ACTIVE}
        return dict(view.execute(_SQL["holders"], asked).fetchall())

    def inherit(self, name: str, id: str) -> None:
        """What a job waited for has ended: its name is its own, if no live job has it."""
        asked = {"names": array([name]), "queue": self._queue, "active": _ACTIVE}
        if not self._view.execute(_SQL["holders"], {**asked, "time": _NEVER}).fetchall():
            values = self._queue, name, id, self._view.time
            self._view.execute(_SQL["inherit_name"], values)

    def take(self, name: str, id: str, until: int = 0) -> None:
        """Nobody else holds it. `until` is a date: until then it is taken in any case."""
        self._view.execute(_SQL["take_name"], (self._queue, name, id, self._view.time, until))

    def forget(self, numbers: Sequence[int], time: int) -> None:
        """Free the names of jobs that are about to be deleted, but for those taken after `time`."""
        if numbers and self._any:
            self._view.execute(_SQL["forget_names"], {"numbers": as_json(numbers), "time": time})

    def forget_overdue(self) -> None:
        """Delete some names whose time is over: who takes one for a time pays for that."""
        asked = {"queue": self._queue, "time": self._view.time}
        for statement in ("clear_overdue_names", "forget_overdue_names"):
            self._view.execute(_SQL[statement], asked)
