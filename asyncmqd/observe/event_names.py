"""The names of events: which one tells of an edge of a job, and the level of each."""

from __future__ import annotations

from asyncmqd.observe.log import LEVELS

EDGE_EVENTS = {
    "succeed": "job.completed",
    "retry": "job.retrying",
    "fail": "job.failed",
    "expire": "job.expired",
    "release": "job.released",
    "snooze": "job.released",
    "park": "job.parked",
    "recover": "job.recovered",
    "quarantine": "job.quarantined",
}

EVENT_LEVELS = {
    "job.started": "debug",
    "job.failed": "error",
    "job.quarantined": "error",
    "job.retrying": "warning",
    "job.expired": "warning",
    "job.parked": "warning",
    "job.lease_lost": "warning",
    "job.recovered": "warning",
    "job.rules_failed": "warning",
    "job.stuck": "warning",
    "duty.crashed": "error",
    "store.clock_jumped": "warning",
    "queue.crashed": "error",
    "queue.held_back": "error",
    "queue.release_failed": "error",
    "queue.acks_lost": "error",
    "scanner.crashed": "error",
    "schedule.skipped": "warning",
    "schedule.restored": "warning",
    "schedule.failed": "error",
    "schedule.unreadable": "error",
    "schedule.overruled": "warning",
    "daemon.degraded": "error",
    "daemon.failed": "error",
    "daemon.reload_refused": "error",
    "daemon.warning": "warning",
    "daemon.restarting": "error",
    "queue.stuck": "error",
    "process.ended": "error",
    "process.failed": "error",
    "process.hung": "error",
    "process.restarting": "error",
    "loop.blocked": "error",
    "loop.interrupted": "error",
    "loop.resumed": "warning",
    "log.dropped": "warning",
    "traces.failing": "warning",
    "http.failed": "error",
    "http.refused": "warning",
}
"""Events that are not of level info."""


def rank(event: str) -> int:
    """The level of an event, as the log counts levels."""
    return LEVELS[EVENT_LEVELS.get(event, "info")]
