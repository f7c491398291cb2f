"""Rules about what follows upon what, whatever the model says: both stores could be wrong alike."""

from __future__ import annotations

from collections import Counter
from typing import Any

from asyncmqd.domain.job import NewJob, Record
from asyncmqd.domain.overlap import job_of_ghost
from asyncmqd.domain.schedule_counts import Fired
from asyncmqd.domain.states import TERMINAL, State
from tests.contract import model
from tests.contract.names import FOLLOWED, NAMES
from tests.contract.operating import Advance, check_operations
from tests.contract.sides import FAR

SETTLED = ("state", "result", "error", "failures", "crashes", "token", "worker", "payload")


class History:
    """Compares each snapshot with the one before."""

    def __init__(self) -> None:
        self._snapshot: dict[str, Any] | None = None
        self._accepted = 0  # jobs that the store took
        self._deleted = 0  # jobs that it said it deleted

    def check(self, command: model.Command, reply: Any, snapshot: dict[str, Any]) -> None:
        """Raises AssertionError where a rule is broken."""
        self._check_number(command, reply, snapshot)
        before, self._snapshot = self._snapshot, snapshot
        if before is None:
            return
        old, new = jobs_in(before), jobs_in(snapshot)
        if isinstance(command, model.Turn):
            self._check_turn(command, reply, before, snapshot)
        replies = reply if isinstance(command, model.LostReply) else [reply]
        check_operations(model.plain(command), replies, before, snapshot)
        self._check_ends(command, old, new)
        self._check_ids(command, reply, old)
        self._check_names(new)
        self._check_blocked(command, old, new)
        replaced = newcomers(command, reply)
        self._check_payloads(replaced, old, new)
        self._check_attempts(command, old, new)
        pushed = {id for id, jobs in replaced.items() if any(map(_pushes_to_now, jobs))}
        self._check_due(command, old, new, pushed)
        fire = model.plain(command)
        if isinstance(fire, model.Fire) and reply not in (Fired.NO, [Fired.NO] * 2):
            first, *again = reply if isinstance(command, model.LostReply) else [reply]
            assert first, "fired by a reply that was lost"
            assert again in ([], [Fired.NO]), "an instant fired twice"
            assert fire.instant > instants(before)[fire.name], "an instant fired again"
        for name, last in instants(before).items():
            assert instants(snapshot).get(name, last) >= last or takes_back(command, name, last)

    def _check_number(self, command: model.Command, reply: Any, snapshot: dict[str, Any]) -> None:
        """No job is lost, and none comes from nowhere."""
        replies = reply if isinstance(command, model.LostReply) else [reply]
        for each in replies:
            match model.plain(command):
                case model.Add():
                    self._accepted += sum(is_new for is_new, *_ in each)
                case model.Remove():
                    self._deleted += sum(each)
                case Advance(removed=removed) if removed and each is not None:
                    self._deleted += each.count("applied")
                case model.Purge() | model.Prune():
                    self._deleted += each
                case model.Fire(job=job) if each >= Fired.YES and job is not None:
                    # Its id may be one that the queue has: then the instant adds none.
                    self._accepted += job.id not in jobs_in(self._snapshot)
        assert len(jobs_in(snapshot)) == self._accepted - self._deleted

    def _check_turn(
        self, command: model.Turn, reply: Any, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        answers, claims = reply
        if "applied" not in answers and not claims:
            freed = waits_for_ghosts(before) - waits_for_ghosts(after)
            assert others(after, freed) == others(before, freed), "a refusal changed something"
        if claims and after["limits"] and (limit := after["limits"][0].concurrency) is not None:
            assert after["counts"].active + after["ghosts"] <= limit, "more run than may"
        ids = [each.change.id for each in command.decisions]
        if len(set(ids)) == len(ids):
            for decision, answer in zip(command.decisions, answers, strict=False):
                assert decision.behind == 0 or answer != "applied", "a stale decision was applied"
        if command.decisions:
            return
        places = Counter(each.place for each in before["jobs"][State.WAITING])
        free = 0 if before["counts"].paused else places[State.WAITING]
        if before["limits"] and (limit := before["limits"][0].concurrency) is not None:
            free = min(free, max(0, limit - before["counts"].active - before["ghosts"]))
        if before["limits"] and (before["limits"][0].rate or before["limits"][0].of_keys):
            free = min(free, len(claims))  # how many they allow, the model knows
        if before["limits"] and before["limits"][0].of_keys:
            self._check_keys(before, after, [each[0] for each in claims])
            return
        waiting = [each for each in before["jobs"][State.WAITING] if each.place == State.WAITING]
        self._check_order(waiting, [each[0] for each in claims])
        assert len(claims) == min(free, command.limit), "not all there were"

    @staticmethod
    def _check_keys(before: dict[str, Any], after: dict[str, Any], claimed: list[str]) -> None:
        """No more jobs of a key run than may, and the first of each key come first."""
        running = Counter(each.key for each in after["jobs"][State.ACTIVE])
        jobs = {each.id: each for each in before["jobs"][State.WAITING]}
        for key in {jobs[id].key for id in claimed} - {""}:
            most = before["limits"][0].of_key(key).concurrency
            assert most is None or running[key] <= most, "more jobs of a key run than may"

    @staticmethod
    def _check_order(waiting: list[Record], claimed: list[str]) -> None:
        """The best priorities first, and the first of each key."""
        jobs = {each.id: each for each in waiting}
        priorities = [jobs[id].priority for id in claimed]
        assert priorities == sorted(each.priority for each in waiting)[: len(claimed)]
        for key in {each.key for each in waiting}:
            first = sorted(
                (each.id for each in waiting if each.key == key), key=lambda id: jobs[id].priority
            )
            taken = [id for id in claimed if jobs[id].key == key]
            assert taken == first[: len(taken)], "not the first ones of its key"

    @staticmethod
    def _check_ends(command: model.Command, old: dict[str, Record], new: dict[str, Record]) -> None:
        """An end is final: neither the state nor the result changes."""
        replayed = {each.change.id for each in model.decisions(command)}
        for id in old.keys() & new.keys() - replayed:
            if old[id].state in TERMINAL:
                for field in SETTLED:
                    assert getattr(new[id], field) == getattr(old[id], field), field

    @staticmethod
    def _check_ids(command: model.Command, reply: Any, old: dict[str, Record]) -> None:
        """An id is taken as long as the queue has a job of it, ended or not, and no longer."""
        add = model.plain(command)
        if not isinstance(add, model.Add):
            return
        first, *again = reply if isinstance(command, model.LostReply) else [reply]
        taken = set(old)
        held = {each.unique: each.id for each in old.values() if each.state not in TERMINAL}
        for job, (is_new, id, _) in zip(add.jobs, first, strict=True):
            if job.unique == FOLLOWED or job.unique not in ("", *NAMES):
                taken.update([job.id] if is_new else [])
                continue
            free = job.id not in taken and (not job.unique or job.unique not in held)
            assert is_new is free, "taken, or not free again"
            assert id == (job.id if free or job.id in taken else held[job.unique]), "another job"
            if is_new:
                taken.add(job.id)
                held[job.unique] = job.id
        # Sent again, one whose name was held finds a later one of its own id.
        known = [
            (False, job.id if job.id in taken else id)
            for job, (_, id, _) in zip(add.jobs, first, strict=True)
        ]
        assert all([answer[:2] for answer in answers] == known for answers in again)

    @staticmethod
    def _check_names(new: dict[str, Record]) -> None:
        """One live job has a name, and each job of the name says which."""
        new = {id: each for id, each in new.items() if each.unique in NAMES}
        free = {*TERMINAL, State.BLOCKED}
        live = [each for each in new.values() if each.state not in free]
        holders = {each.unique: each.id for each in live}
        assert len(holders) == len(live), "two live jobs of one name"
        for each in new.values():
            assert each.holder == holders.get(each.unique, "")

    @staticmethod
    def _check_blocked(
        command: model.Command, old: dict[str, Record], new: dict[str, Record]
    ) -> None:
        """A job is blocked as long as one that it waits for is live, and no longer."""
        live = {id for id, each in new.items() if each.state not in TERMINAL}
        for id, each in new.items():
            assert (each.state is State.BLOCKED) == bool(each.waits_for), "it waits for nothing"
            assert live.issuperset(each.waits_for), "what it waits for has ended"
            if id not in old or old[id].state is not State.BLOCKED:
                continue
            assert set(each.waits_for) <= set(old[id].waits_for), "it waits for another"
            if each.state is not State.CANCELLED and not each.waits_for:
                ended = {decision.change.id for decision in model.decisions(command)} | (
                    old.keys() - live
                )
                assert ended.issuperset(old[id].waits_for), "what it waited for is live"

    @staticmethod
    def _check_payloads(
        replaced: dict[str, list[NewJob]], old: dict[str, Record], new: dict[str, Record]
    ) -> None:
        """A job gets another payload only from a new one of its name, and before its first run."""
        for id in old.keys() & new.keys():
            payload = replaced[id][-1].payload if id in replaced else old[id].payload
            assert new[id].payload == payload, "another payload"
            if id in replaced:
                assert old[id].started is None, "replaced after its first run"
                assert old[id].state not in TERMINAL, "replaced after its end"

    @staticmethod
    def _check_attempts(
        command: model.Command, old: dict[str, Record], new: dict[str, Record]
    ) -> None:
        """Failures and crashes are counted apart, and only where a decision says so."""
        for field in ("failures", "crashes"):
            for id in old.keys() & new.keys():
                said = {
                    getattr(each.change, field)
                    for each in model.decisions(command)
                    if each.change.id == id
                }
                assert getattr(new[id], field) in {getattr(old[id], field), *said}, field

    @staticmethod
    def _check_due(
        command: model.Command, old: dict[str, Record], new: dict[str, Record], pushed: set[str]
    ) -> None:
        """Nothing comes back before its time: `due` is counted in units of FAR from now."""
        decided: dict[str, list[float]] = {}
        for each in model.decisions(command):
            decided.setdefault(each.change.id, []).append(each.change.delay)
        for id in old.keys() & new.keys():
            before, after = old[id], new[id]
            if (
                before.state is State.DELAYED
                and (before.due or 0) > 0
                and not (id in decided or id in pushed)
            ):
                assert after.state is State.DELAYED, "promoted before it was due"
            came_back = before.state is State.BLOCKED  # at a time of its own
            if id in decided and not came_back and before.state is not after.state is State.DELAYED:
                delays = {round(delay / FAR) for delay in decided[id]}
                assert after.due in delays, "due at another time"


def newcomers(command: model.Command, reply: Any) -> dict[str, list[NewJob]]:
    """By the id of a job, those that came in its place."""
    found: dict[str, list[NewJob]] = {}
    if isinstance(add := model.plain(command), model.Add):
        for answers in reply if isinstance(command, model.LostReply) else [reply]:
            for job, (_, id, outcome) in zip(add.jobs, answers, strict=True):
                if outcome == "replaced":
                    found.setdefault(id, []).append(job)
    return found


def _pushes_to_now(job: NewJob) -> bool:
    return job.on_conflict == "push" and not job.delay


def jobs_in(snapshot: dict[str, Any] | None) -> dict[str, Record]:
    """The jobs of a snapshot, by id."""
    return {each.id: each for jobs in (snapshot or {"jobs": {}})["jobs"].values() for each in jobs}


def instants(snapshot: dict[str, Any]) -> dict[str, int]:
    """The last instant of each schedule."""
    return {name: last for name, _, _, last, _ in snapshot["schedules"]}


def takes_back(command: model.Command, name: str, last: int) -> bool:
    """Whether the schedule was forgotten, or its last instant is of a future nobody believes."""
    match model.plain(command):
        case model.EditSchedule() as edit:
            return edit.name == name
        case model.Declare() as declare:
            return declare.name == name and last >= 0  # each is an hour ahead, or more
    return False


def waits_for_ghosts(snapshot: dict[str, Any]) -> set[str]:
    """The jobs that wait until the code of a cancelled one has ended."""
    blocked = snapshot["jobs"][State.BLOCKED]
    return {each.id for each in blocked if any(map(job_of_ghost, each.waits_for))}


def others(snapshot: dict[str, Any], ids: set[str]) -> list[Any]:
    """All jobs but these."""
    return [each for jobs in snapshot["jobs"].values() for each in jobs if each.id not in ids]
