"""What keeps the waiting jobs of a queue from being claimed, each thing a function of `Facts`.

`why` asks them one by one, the worst first.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence

import msgspec

from asyncmqd.admin.facts import SILENT, Facts, Process, task_of
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.domain.heartbeat import ISOLATING, NOBODY_KNOWS, STOPPING, unknown
from asyncmqd.domain.in_line import InLine
from asyncmqd.domain.job import Record
from asyncmqd.domain.key_limits import NEVER, KeyGate
from asyncmqd.domain.safe_text import counted
from asyncmqd.domain.shared_limits import Bucket, permits

START, RELOAD = "systemctl start asyncmqd", "asyncmqd reload"
RESTART, LOG = "systemctl restart asyncmqd", "journalctl -u asyncmqd -e"
_SHOWN = 3  # jobs or processes that a sentence names


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job does not run, or that it does."""

    name: str
    sentence: str
    since: str | None = None
    until: str | None = None  # when it changes by itself
    changes: str | None = None  # what changes it
    command: str | None = None  # that mends it
    also: tuple[Reason, ...] = ()  # of a queue: what else is wrong, the worst first


Judge = Callable[[Facts], Reason | None]


def paused(facts: Facts) -> Reason | None:
    """Somebody paused the queue."""
    pause = facts.outlook.pause
    if pause is None:
        return None
    since = rfc3339(pause.since)
    parts = (f" since {since}" if since else "", f" by {pause.by}" if pause.by else "")
    why = f": {pause.reason}" if pause.reason else ""
    return Reason(
        name="paused",
        sentence=f"Queue {facts.queue} is paused{''.join(parts)}{why}.",
        since=since,
        changes="somebody resumes the queue",
        command=f"asyncmq queue resume {shlex.quote(facts.queue)}",
    )


def task_unknown(facts: Facts, task: str) -> Reason:
    """A job waits for a daemon that knows its task."""
    said = [each.said for each in facts.serving]
    problem = unknown(task, facts.queue, said)
    if problem is None and facts.serving:
        problem = "a process there may know it, and takes the job at its next look"
    return Reason(
        name="parked",
        sentence=f"Parked for task {task}: {problem or NOBODY_KNOWS}.",
        changes=f"a daemon that serves queue {facts.queue} has the task's module in `tasks`",
        command=RESTART if facts.serving else START,
    )


def _not_served(facts: Facts) -> Reason | None:
    if facts.serving:
        return None
    others = f"; {counted(len(facts.processes), 'daemon')} for others" if facts.processes else ""
    return Reason(
        name="no_daemon",
        sentence=f"No living daemon serves queue {facts.queue}{others}.",
        since=_waits_since(facts),
        changes=f"a daemon with [queues.{facts.queue}] in its configuration starts or reloads",
        command=RELOAD if facts.processes else START,
    )


def _silent(facts: Facts) -> Reason | None:
    if facts.heard:
        return None
    last = max(facts.serving, key=lambda each: each.seen)
    degraded = f" It said: {last.said.degraded}." if last.said.degraded else ""
    return Reason(
        name="daemons_silent",
        sentence=f"Every daemon that serves queue {facts.queue} has been silent for more than"
        f" {SILENT:g} s; {last.id} was the last to be heard.{degraded}",
        since=rfc3339(last.seen),
        changes="it reaches the store again, or another one serves the queue",
        command="asyncmqd status",
    )


def _held(facts: Facts) -> Reason | None:
    """All of them take no job, or fewer than they have slots for, for a reason of their own."""
    if facts.claiming:
        return None
    held = [each.load(facts.queue).held for each in facts.heard]
    name, sentence = {
        STOPPING: ("stopping", "Every daemon that serves it is about to stop"),
        ISOLATING: ("isolation", "A job that was there at two crashes runs alone in each process"),
    }.get(held[0], ("held_back", f"Every daemon that serves it is held back: {held[0]}"))
    return Reason(
        name=name,
        sentence=f"{sentence} ({_named(facts.heard)}).",
        since=_waits_since(facts),
        changes=_HELD_CHANGES[name],
        command=START if name == "stopping" else "asyncmqd status",
    )


_HELD_CHANGES = {
    "stopping": "a daemon that serves the queue starts",
    "isolation": "that job ends, or its time alone does",
    "held_back": "the host gives threads and processes again",
}


def _busy(facts: Facts) -> Reason | None:
    if not all(_is_full(facts, each) for each in facts.claiming):
        return None
    running = _longest_first(facts, facts.active)
    return Reason(
        name="slots_busy",
        sentence=f"{behind(facts)}all slots are busy ({_slots(facts)})"
        f"{_longest_with(facts, facts.active)}.",
        since=rfc3339(running[0].started) if running else None,
        changes="a job ends, or `concurrency` is raised",
        command=RELOAD,
    )


def _longest_first(facts: Facts, running: Iterable[Record]) -> list[Record]:
    return sorted(running, key=lambda each: each.started or facts.now)


def _longest_with(facts: Facts, running: Iterable[Record]) -> str:
    """Which jobs hold what others wait for: the end of a sentence."""
    told = ", ".join(
        f"{each.id} ({task_of(each)}, {_span(facts.now - (each.started or facts.now))})"
        for each in _longest_first(facts, running)[:_SHOWN]
    )
    return f", longest with {told}" if told else ""


def _daemon_busy(facts: Facts) -> Reason | None:
    """What is free of the queue's own slots is not free of the daemon's."""
    free = [each for each in facts.claiming if not _is_full(facts, each)]
    left = [each.slots_left(facts.queue, facts.sharing) for each in free]
    if not free or not all(slots is not None and slots <= 0 for slots in left):
        return None
    each = free[0]
    load, queues = each.load(facts.queue), len(each.said.queues or ())
    return Reason(
        name="daemon_slots_busy",
        sentence=f"{behind(facts)}all slots of the daemon are busy, or kept for queues without"
        f" jobs: max_concurrency is {load.max_concurrency} for {counted(queues, 'queue')}, and"
        f" the weight of this one is {load.weight} ({_named(free)}).",
        changes="a job of any of them ends, or `max_concurrency` is raised",
        command=RELOAD,
    )


def _is_full(facts: Facts, process: Process) -> bool:
    """Whether its slots are taken, by the jobs that the store has as active."""
    if facts.counts.active > len(facts.active):
        return facts.counts.active >= _slots(facts)
    return sum(map(process.claimed, facts.active)) >= process.load(facts.queue).concurrency > 0


def _slots(facts: Facts) -> int:
    return sum(each.load(facts.queue).concurrency for each in facts.claiming)


def _rate_limited(facts: Facts) -> Reason | None:
    free = [each for each in facts.claiming if not _is_full(facts, each)]
    loads = [each.load(facts.queue) for each in free]
    if not free or not all(load.rate_limit == 0 or load.opens for load in loads):
        return None
    each, load = min(zip(free, loads, strict=True), key=lambda pair: pair[0].seen + pair[1].opens)
    limit = f"{load.rate_limit:g} in {load.rate_interval:g} s"
    opens = each.seen + load.opens if load.opens else None
    what = (
        f"is used up, by the last heartbeat at {rfc3339(each.seen)}" if opens else "starts no job"
    )
    return Reason(
        name="rate_limit",
        sentence=f"{behind(facts)}the rate limit of {limit} {what} ({_named(free)}).",
        until=rfc3339(opens) if opens and opens > facts.now else None,
        changes="time passes, or `rate_limit` is raised" if opens else "`rate_limit` is raised",
        command=RELOAD,
    )


def _limited_everywhere(facts: Facts) -> Reason | None:
    """As many run, in all daemons together, as `global_concurrency` says."""
    declared, ghosts = facts.outlook.limits, facts.outlook.ghosts
    if declared is None or permits(declared, facts.counts.active + ghosts) != 0:
        return None
    most, since = declared.limits.concurrency, rfc3339(declared.since)
    state = f"{facts.counts.active} of {most} jobs run in all daemons"
    if not most:
        state = "no job may run in any daemon"
    else:
        state += _longest_with(facts, facts.active)
    if most and ghosts:
        state += f", and the code of {counted(ghosts, 'job')} that was taken away may still run"
    return Reason(
        name="global_concurrency",
        sentence=f"{behind(facts)}{state}: global_concurrency is {most}, declared by {declared.by}"
        f" at {since}.",
        since=_waits_since(facts) if most else since,
        changes="a job ends, or `global_concurrency` is raised"
        if most
        else "`global_concurrency` is raised",
        command=RELOAD,
    )


def _rated_everywhere(facts: Facts) -> Reason | None:
    """As many have started, in all daemons together, as `global_rate_limit` says."""
    declared, outlook = facts.outlook.limits, facts.outlook
    if declared is None:
        return None
    bucket = Bucket(declared, outlook.filling, outlook.now * 1e6)
    if bucket.pay(facts.next_cost):
        return None
    limits, opens = declared.limits, bucket.opens_in
    said = f"{limits.rate_limit:g} in {limits.rate_interval:g} s"
    what = _used_up(facts, bucket.allowed) if opens is not None else "starts no job"
    return Reason(
        name="global_rate_limit",
        sentence=f"{behind(facts)}the rate limit of {said} over all daemons {what}: declared by"
        f" {declared.by} at {rfc3339(declared.since)}.",
        since=_waits_since(facts),
        until=None if opens is None else rfc3339(outlook.now + opens),
        changes="time passes, or `global_rate_limit` is raised"
        if opens is not None
        else "`global_rate_limit` is raised",
        command=RELOAD,
    )


def _waits_since(facts: Facts) -> str | None:
    """When the job that waits longest for it was enqueued."""
    waits = facts.job or facts.head
    return None if waits is None else rfc3339(waits.created)


def _used_up(facts: Facts, tokens: int | None) -> str:
    """What keeps a rate from starting the next job."""
    if facts.next_cost == 1:
        return "is used up"
    return f"has {tokens} of the {facts.next_cost} tokens that the next job costs"


def _limited_key(facts: Facts) -> Reason | None:
    """As many jobs of its key run, or have started, as the limits of the key let."""
    declared, job, of_key = facts.outlook.limits, facts.job, facts.of_key
    if declared is None or job is None or of_key is None:
        return None
    gate = KeyGate(declared, of_key, facts.outlook.now * 1e6)
    if gate.allowed(job.key) != 0 and gate.covers(job.key, (facts.next_cost,)):
        return None
    limits, opens = gate.limits(job.key), gate.opens(job.key, facts.next_cost)
    name = "key_concurrency"
    state = f"{of_key.running} of {limits.concurrency} jobs of key {job.key} run in all daemons"
    state += _longest_with(facts, (each for each in facts.active if each.key == job.key))
    changes = "a job of this key ends, or"
    if limits.concurrency is None or of_key.running < limits.concurrency:
        name = "key_rate_limit"
        said = f"{limits.rate_limit:g} in {limits.rate_interval:g} s"
        state = f"the rate limit of {said} of key {job.key} {_used_up(facts, gate.tokens(job.key))}"
        changes = "time passes, or"
    if getattr(limits, name.removeprefix("key_")) == 0:
        state, changes = f"no job of key {job.key} may start in any daemon", ""
    return Reason(
        name=name,
        sentence=f"{behind(facts)}{state}: declared by {declared.by} at {rfc3339(declared.since)}.",
        until=None if opens == NEVER else rfc3339(opens / 1e6),
        changes=f"{changes} `{name}` is raised".strip(),
        command=RELOAD,
    )


def _limited_keys(facts: Facts) -> Reason | None:
    """Jobs of some keys wait for the limits of their keys; those of others run."""
    declared, number = facts.outlook.limits, facts.outlook.closed_keys
    if facts.job is not None or declared is None or not number:
        return None
    return Reason(
        name="key_limits",
        sentence=f"The limits of {counted(number, 'key')} let no more jobs of theirs start now:"
        f" declared by {declared.by} at {rfc3339(declared.since)}.",
        changes="jobs of these keys end, or time passes, or the limits of keys are raised",
        command=f"asyncmq queue show {shlex.quote(facts.queue)}",
    )


def _degraded(facts: Facts) -> Reason | None:
    said = [each.said.degraded for each in facts.claiming]
    if not all(said):
        return None
    return Reason(
        name="degraded",
        sentence=f"Every daemon that serves it is degraded ({_named(facts.claiming)}): {said[0]}.",
        changes="the store answers them, and keeps jobs safe",
        command="asyncmqd status",
    )


OF_PROCESSES: tuple[Judge, ...] = (_not_served, _silent, _held)
OF_LIMITS: tuple[Judge, ...] = (
    _limited_everywhere,
    _rated_everywhere,
    _limited_key,
    _busy,
    _daemon_busy,
    _rate_limited,
    _degraded,
    _limited_keys,
)


def first(facts: Facts, judges: Sequence[Judge]) -> Reason | None:
    """What the first of them finds that finds something."""
    return next((found for judge in judges if (found := judge(facts))), None)


def lost(facts: Facts, jobs: Sequence[Record]) -> Reason | None:
    """Jobs that are active, and whose worker is gone."""
    gone = [each for each in jobs if _is_lost(facts, each)]
    if not gone:
        return None
    soonest = min(gone, key=lambda each: each.due or 0.0)
    holder, ends = facts.holder(soonest), rfc3339(soonest.due)
    what = "it renews the lease no more" if holder else "it is not among the living processes"
    return Reason(
        name="worker_lost",
        sentence=f"Worker {soonest.worker} of job {soonest.id} is lost: {what}."
        f" The lease ends at {ends}.",
        since=rfc3339((soonest.due or 0.0) - holder.said.lease) if holder else None,
        until=ends,
        changes="another worker takes the job when the lease has ended"
        + ("" if facts.heard else "; but no living process serves the queue"),
        command=LOG if facts.heard else START,
    )


def _is_lost(facts: Facts, job: Record) -> bool:
    """Its process is gone, or has let half of the lease pass; it renews after a third."""
    holder = facts.holder(job)
    left = (job.due or 0.0) - facts.now
    return holder is None or left < holder.said.lease / 2


# ---------------------------------------------------------------------- words


def behind(facts: Facts) -> str:
    """What is before the job in its queue, or how many jobs wait: the beginning of a sentence."""
    if facts.job is None:
        return f"{counted(facts.counts.waiting - facts.counts.parked, 'job')} to run: "
    if facts.line is None:
        return "It waits: "
    ahead, others = facts.line.ahead, facts.line.others
    where = f"It waits behind {counted(ahead, 'job')}" if ahead else "It is the next"
    return f"{where}{_among_keys(facts.line, facts.job.key) if others else ''}: "


def _among_keys(line: InLine, key: str) -> str:
    """Whose line that is, and when its turn comes."""
    whose = " of its key" if key else " without a key"
    if line.turns is None:  # the reason that follows says that the key is held back
        return whose
    before = [counted(line.turns, "other")] if line.turns else []
    if line.better:
        before.append(f"at most {counted(line.better, 'job')} of better priorities")
    when = f"after {' and '.join(before)}" if before else "next"
    return f"{whose}, whose turn comes {when}"


def _named(processes: Sequence[Process]) -> str:
    names = ", ".join(each.id for each in processes[:_SHOWN])
    more = len(processes) - _SHOWN
    return f"{names} and {more} more" if more > 0 else names


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
