"""What the buttons do: each sends a form, which becomes a verb that /api/v1 has, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from asyncmqd.domain.states import TERMINAL, State
from asyncmqd.web.api import CannotDo
from asyncmqd.web.dashboard import groups
from asyncmqd.web.dashboard.visit import Source, address, job_address, local_path

_OF_GROUPS = frozenset({"retry", "remove"})
_LIKE = ("task", "key", "error", "older_than")
_TAKES: dict[str, tuple[str, ...]] = {
    "pause": ("queue", "reason"),
    "resume": ("queue", "reason"),
    "retry": ("queue", "state", *_LIKE, "reason"),
    "cancel": ("queue", "state", *_LIKE, "reason"),
    "remove": ("queue", "state", *_LIKE, "reason"),
    "run_now": ("queue", *_LIKE, "reason"),
    "purge": ("queue", "state", "reason"),
    "cancel_operation": ("id",),
    "reload": (),
    "run_schedule": ("queue", "name"),
    "pause_schedule": ("queue", "name"),
    "resume_schedule": ("queue", "name"),
}
"""By verb: the fields of a form that are its arguments."""


class Actions:
    """Does what people ask for by forms."""

    def __init__(self, source: Source, changed: Callable[[], None]) -> None:
        self._source = source
        self._changed = changed

    async def do(self, verb: str, form: dict[str, str], by: str, back: str) -> str:
        """The page to show afterwards. Raises CannotDo."""
        if verb not in _TAKES:
            raise CannotDo(f"There is no action {verb[:80]!r}.", 404)
        arguments: dict[str, Any] = {
            name: form[name] for name in _TAKES[verb] if form.get(name, "") != ""
        }
        if form.get("job"):  # encoded: an id may have what browsers change in forms
            arguments = {"ids": [unquote(form["job"])], "queue": form.get("queue") or None}
            arguments["reason"] = form.get("reason", "")
        if form.get("sample") and verb in _OF_GROUPS:
            arguments = await self._source.read(lambda store: groups.arguments_of(store, form))
            arguments["reason"] = form.get("reason", "")
        if verb == "purge":
            _check_purge(form)
        done = await self._source.command(verb, arguments, typed=True, by=by)
        self._changed()
        return _after(verb, form, done, back)


def _check_purge(form: dict[str, str]) -> None:
    """Whoever deletes all jobs of a queue types its name."""
    if form.get("typed", "").strip() != form.get("queue", ""):
        raise CannotDo("Nothing was deleted: expected the name of the queue, typed once more.", 400)
    if form.get("state") not in {*map(str, TERMINAL), str(State.WAITING), str(State.DELAYED)}:
        raise CannotDo("Nothing was deleted: expected a state of jobs that do not run.", 400)


def _after(verb: str, form: dict[str, str], done: Any, back: str) -> str:
    """The page of what was begun, or the one before."""
    if isinstance(done, dict) and done.get("operation"):
        return address("/operation", id=done["operation"]["id"])
    if isinstance(done, dict) and (refused := [*filter(None, (done.get("jobs") or {}).values())]):
        raise CannotDo(refused[0])
    if verb == "run_schedule":
        return job_address(done["queue"], done["id"])
    if verb == "remove" and form.get("job"):
        return address(f"/queues/{form.get('queue', '')}", done=verb)
    path, _, query = back.partition("?")
    kept = "&".join(each for each in query.split("&") if each and not each.startswith("done="))
    return local_path(f"{path}?{kept}&done={verb}" if kept else f"{path}?done={verb}")
