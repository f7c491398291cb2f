"""Bugs in the store in memory."""

from __future__ import annotations

from tests.mutations.mutation import Edit, mutations

FILE = "memory.py"


def _edit(old: str, new: str, tests: str) -> Edit:
    return FILE, old, new, tests


MEMORY = mutations(
    "",
    "memory",
    (
        _edit("if job.id in queue.rows:", "if False:", "adding"),
        _edit("            row.token += 1\n", "", "claiming fencing"),
        # These three are wrong in the model and in the store alike: only rules notice.
        _edit(
            "row.worker, row.started = worker, now",
            "row.worker, row.started, row.failures = worker, now, row.failures + 1",
            "model",
        ),
        _edit(
            "if job.id in queue.rows:",
            "if job.id in queue.rows and not state_of(queue.rows[job.id].place).terminal:",
            "model",
        ),
        _edit(
            "queue.move(row, change.target, (now + change.delay, queue.next()))",
            "queue.move(row, change.target, (now, queue.next()))",
            "model",
        ),
        _edit("        if row.token != change.token:\n", "        if False:\n", "fencing"),
        _edit("if state_of(row.place) not in change.path.sources:", "if False:", "fencing"),
        _edit("if change.lapsed and row.rank > now:", "if False:", "leases"),
        _edit("        row.token += change.outside\n", "", "fencing"),
        _edit(
            "queue.move(row, change.target, row.order)", "queue.move_to_tail(row)", "leases delays"
        ),
        _edit(
            "and first[0][0] <= now:\n                data.move",
            "and True:\n                data.move",
            "delays",
        ),
        _edit("while moved < page and", "while", "delays"),
        _edit("(row.priority, self.next())", "(0, self.next())", "adding"),
        _edit("claims = [] if data.paused else", "claims = [] if False else", "administration"),
        _edit("or row.token != held.token", "", "leases"),
        _edit(" or row.place != State.ACTIVE", "", "leases fencing"),
        _edit("for row in rows if row.rank <= now]", "for row in rows]", "leases"),
        _edit(
            "len(counted) > retention.keep_completed",
            "len(counted) > retention.keep_completed + 1",
            "retention",
        ),
        _edit("            self.bytes -= row.size\n", "", "retention"),
        _edit("known.last >= instant", "known.last > instant", "schedules"),
        _edit("or known.paused ", "", "schedules"),
        _edit("        if any(added):\n            self._store.wake(queue)\n", "", "waking"),
        _edit("            row.created = now\n", "            pass\n", "leases"),
        _edit("elif fresh and known.spec != spec:", "elif known.spec != spec:", "schedules"),
        _edit(
            "for id in data.lines[place].ids()][:page]",
            "for id in data.lines[place].ids()]",
            "parking",
        ),
    ),
)
