"""Reload: validate in full, compare, apply queue by queue; what is refused changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from asyncmqd.config.diff import Plan, diff
from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.files import stamp
from asyncmqd.config.load import load
from asyncmqd.config.models import Settings
from asyncmqd.daemon.control_server import Refused
from asyncmqd.daemon.queue_processes import Serving
from asyncmqd.daemon.reload.preview import Preview, Previewer
from asyncmqd.daemon.systemd import Systemd
from asyncmqd.domain import clock
from asyncmqd.domain.loop_tasks import retrieve_error
from asyncmqd.domain.marks import Mark
from asyncmqd.domain.safe_text import counted
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.duties import Duty, told
from asyncmqd.runtime.process.marks import note

REST = 0.1  # seconds after a reload before the next: who asks meanwhile shares that
MOST_ADVICE = 20  # lines of an answer


@dataclass
class Reloaded:
    """A reload that was applied."""

    generation: int
    preview: Preview
    needs_restart: Sequence[str]
    draining: Sequence[str]
    advice: Sequence[str] = ()  # what is probably wrong; the log has all of it

    def told(self, *, conceals: bool) -> dict[str, Any]:
        """The answer to one who asked; `conceals`: without the names of keys."""
        preview = self.preview.shown(conceals=conceals)
        advice = _counted(self.advice) if conceals else self.advice
        return {
            "generation": self.generation,
            "plan": preview.values,
            "lines": [*preview.lines, *(f"! {each}" for each in advice)],
            "warnings": [*preview.warnings, *advice],
            "needs_restart": self.needs_restart,
            "draining": self.draining,
        }


class Refusal(NamedTuple):
    """Why a reload was refused: its errors, and the same without what an application chose."""

    errors: list[str]
    concealed: list[str]
    since: float  # Unix time

    def told(self, *, conceals: bool = False) -> str:
        """The first one, for a line."""
        return f"reload refused: {(self.concealed if conceals else self.errors)[0]}"


_Answer = asyncio.Future[Reloaded]


class Configuration:
    """What the daemon runs with, and where it came from."""

    def __init__(self, path: Path, environ: Mapping[str, str], settings: Settings) -> None:
        self.path = path
        self.settings = settings  # keys that need a restart have the values from the start
        self.generation = 1  # rises by one at each reload that is applied
        self.loaded_at = clock.utc_now()
        self.refusal: Refusal | None = None  # of the last reload
        self.needs_restart: tuple[str, ...] = ()  # keys of the files that wait for a restart
        self._environ = environ
        self._stamp = self._looked = stamp(path)

    @property
    def edited(self) -> bool:
        """Whether a file was written since the configuration was loaded. Reads directories."""
        return stamp(self.path) != self._stamp

    async def look(self) -> tuple[Settings, Plan]:
        """What the files say now, and how that differs. Raises ConfigErrors."""
        # In a thread: fifty queues take longer to read than a job should have to wait.
        return await asyncio.to_thread(self._look, self.settings)

    def _look(self, present: Settings) -> tuple[Settings, Plan]:
        self._looked = stamp(self.path)  # before, so that an edit during the load is not missed
        new = load(self.path, self._environ)
        return new, diff(present, new)

    def take(self, new: Settings, plan: Plan) -> None:
        """Run with the new settings, but for what only a restart can change."""
        kept = {change.key.partition(".")[0] for change in plan.restart}
        self.settings = msgspec.structs.replace(
            new, **{key: getattr(self.settings, key) for key in kept}
        )
        self.generation += 1
        self.loaded_at = clock.utc_now()
        self.refusal = None
        self._stamp = self._looked
        self.needs_restart = tuple(change.key for change in plan.restart)


class Reloader:
    """Reloads one at a time; requests that come meanwhile share the next one.

    A request is never answered by a reload that began before it: whoever wrote a file and then
    asks is told of that file, or of a later one.
    """

    def __init__(
        self,
        configuration: Configuration,
        serving: Serving,
        previewer: Previewer,
        systemd: Systemd,
        observer: Observer,
        set_log_level: Callable[[str], None],
    ) -> None:
        self._configuration = configuration
        self._serving = serving
        self._previewer = previewer
        self._systemd = systemd
        self._observer = observer
        self._set_log_level = set_log_level
        self._waiting: list[_Answer] = []  # for a reload that has not begun
        self._by: set[str] = set()  # who asked for it
        self._asked = asyncio.Event()
        self._duty: Duty | None = None
        self._stopped = False

    def request(self, by: str = "") -> _Answer:
        """Ask for a reload; the future says what it changed, or raises Refused.

        `by` is who asks; empty: a signal.
        """
        answer: _Answer = asyncio.get_running_loop().create_future()
        # Who sends a signal does not wait for the answer; the log has it.
        answer.add_done_callback(retrieve_error)
        if self._stopped:
            answer.set_exception(_stopping())
        else:
            self._waiting.append(answer)
            self._by.add(by)
            self._asked.set()
        return answer

    def start(self) -> None:
        """Carry out requests, those that came before included."""
        self._duty = self._serving.context.duties.begin("reloads", self._run)

    async def stop(self) -> None:
        """Reload no more: what is under way changes nothing, and who waits is refused.

        A reload that went on beside a drain would have the queues served again.
        """
        self._stopped = True
        if self._duty is not None:
            await asyncio.wait([self._duty.end()])
        _settle(self._waiting, _stopping())

    # ------------------------------------------------------------------ inside

    async def _run(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            asking, self._waiting = self._waiting, []
            by, self._by = self._by - {""}, set()
            try:
                await self._answer(asking, by)
            except Exception as error:  # noqa: BLE001 - the next reload may mend what ails this one
                self._observer.event(
                    "duty.crashed", duty="reloads", error=told(error), exc_info=error
                )
                _settle(asking, Refused(told(error)))
            finally:  # those that have their answer by now keep it
                _settle(asking, _stopping())
            await asyncio.sleep(REST)

    async def _answer(self, asking: list[_Answer], by: AbstractSet[str]) -> None:
        self._systemd.reloading()
        try:
            outcome = await self._outcome()
            try:
                if not isinstance(outcome, Refused):
                    outcome.advice = _most(await self._serving.applied())
            finally:  # when a stop cuts that short, too: it was applied
                _settle(asking, outcome)
        finally:  # systemd waits for the end of the reload, whatever that is, and for ever
            if not self._stopped:
                refusal = self._configuration.refusal
                self._systemd.ready(refusal.told() if refusal else "reloaded")
        if not isinstance(outcome, Refused):
            await self._note(outcome, by)

    async def _note(self, outcome: Reloaded, by: AbstractSet[str]) -> None:
        context, generation = self._serving.context, outcome.generation
        lines = len(outcome.preview.lines) + len(outcome.advice)
        what = f"configuration {generation}, {counted(lines, 'line')} of changes"
        what += f", by {' and '.join(sorted(by))}" if by else ""
        mark = Mark("reloaded", context.presence.id, what)
        context.presence.beat_soon()
        await note(context.backend, mark, generation)

    async def _outcome(self) -> Reloaded | Refused:
        self._observer.event("daemon.reloading", config=str(self._configuration.path))
        try:
            return await self._reload()
        except ConfigErrors as errors:
            lines = [str(each) for each in errors.errors]
            return self._refuse(Refusal(lines, errors.places, clock.wall()))
        except Exception as error:  # noqa: BLE001 - whatever it is, the old configuration serves
            kind = type(error).__name__
            return self._refuse(Refusal([f"{kind}: {error}"], [kind], clock.wall()))

    async def _reload(self) -> Reloaded:
        configuration = self._configuration
        new, plan = await configuration.look()
        await self._serving.prepare(new)
        preview = await self._previewer.of(plan)
        # From here on nothing waits, so that a stop finds all of it done or nothing.
        configuration.take(new, plan)
        self._set_log_level(new.log_level)
        self._serving.apply(configuration.settings)
        self._observer.event(
            "daemon.reloaded",
            generation=configuration.generation,
            changes=plan.lines(),
            warnings=preview.warnings or None,
            needs_restart=list(configuration.needs_restart) or None,
        )
        return Reloaded(
            configuration.generation,
            preview,
            needs_restart=list(configuration.needs_restart),
            draining=sorted({*plan.removed, *self._serving.report().draining}),
        )

    def _refuse(self, refusal: Refusal) -> Refused:
        self._configuration.refusal = refusal
        errors = refusal.errors
        self._observer.event("daemon.reload_refused", error=errors[0], errors=errors)
        return Refused("\n".join(errors), concealed="\n".join(refusal.concealed))


def _most(advice: list[str]) -> list[str]:
    listed = advice[:MOST_ADVICE]
    if len(advice) > MOST_ADVICE:
        listed.append(f"and {len(advice) - MOST_ADVICE} more, which are in the log")
    return listed


def _counted(advice: Sequence[str]) -> list[str]:
    """That there is some: it may show arguments of jobs."""
    return [f"{counted(len(advice), 'warning')}: the log has them"] if advice else []


def _stopping() -> Refused:
    return Refused("the daemon is stopping")


def _settle(answers: list[_Answer], outcome: Reloaded | Refused) -> None:
    for answer in answers:
        if answer.done():  # whoever asked went away
            continue
        if isinstance(outcome, Refused):
            answer.set_exception(Refused(str(outcome), outcome.status, outcome.concealed))
        else:
            answer.set_result(outcome)
