"""Bugs in the store in memory."""

from __future__ import annotations

from tests.mutations.mutation import Edit, mutations


def _row(old: str, new: str, tests: str) -> Edit:
    return "rows.py", old, new, tests


def _edit(old: str, new: str, tests: str) -> Edit:
    return "store.py", old, new, tests


def _registry(old: str, new: str, tests: str) -> Edit:
    return "registry.py", old, new, tests


MEMORY = mutations(
    "memory/",
    "memory",
    (
        ("events.py", "while self.batches[0][0] <=", "while False and", "events"),
        ("events.py", "max(epoch.until, now + seconds)", "now + seconds", "events"),
        ("events.py", "known.until <= self._now()", "False", "events"),
        ("events.py", "            self._store.wake(WATCHED)\n", "            pass\n", "events"),
        _row(" + len(self.attempts)", "", "retention"),
        ("insight.py", "marks.setdefault(id, (now, mark))", "marks[id] = (now, mark)", "insight"),
        ("insight.py", "del kept[goes]", "pass", "insight"),
        ("lanes.py", "key=lambda key: (self.closed[key], key))[:most]", "key=str)[:0]", "insight"),
        ("lanes.py", "if key not in tags:\n            return None", "", "insight"),
        ("lanes.py", "(order[0] < priority for", "(order[0] <= priority for", "insight"),
        _row("if job.id in self._queue.rows:", "if False:", "adding"),
        _row(
            "return len(self.lines[State.ACTIVE]) + len(self.ghosts)",
            "return len(self.lines[State.ACTIVE])",
            "shared_limits",
        ),
        _edit("if passes_on or back or data.lanes.timed:", "if back:", "shared_limits"),
        _edit(
            "            queue.filling = bucket.filling\n", "            pass\n", "shared_limits"
        ),
        _edit("in_force(stored, told, self._now())", "stored or told", "key_limits"),
        _edit("            row.token += 1\n", "", "claiming fencing"),
        # These three are wrong in the model and in the store alike: only rules notice.
        _edit(
            "row.worker, row.started = worker, now",
            "row.worker, row.started, row.failures = worker, now, row.failures + 1",
            "model",
        ),
        _row(
            "if job.id in self._queue.rows:",
            "rows = self._queue.rows\n"
            "        if job.id in rows and not state_of(rows[job.id].place).terminal:",
            "model",
        ),
        _row("self._queue.move(row, place, row.order)", "self.move_to_tail(row)", "leases delays"),
        _edit(
            "and first[0][0] <= now:",
            "and True:",
            "delays",
        ),
        _edit("while moved < page and", "while", "delays"),
        _row("(row.priority, self._queue.next())", "(0, self._queue.next())", "adding"),
        _edit("[] if queue.pause else", "[] if False else", "administration"),
        _edit("or row.token != held.token", "", "leases"),
        _edit(" or row.place != State.ACTIVE", "", "leases fencing"),
        _edit("for row in rows if row.rank <= now]", "for row in rows]", "leases"),
        _edit(
            "len(counted) > retention.keep_completed",
            "len(counted) > retention.keep_completed + 1",
            "retention",
        ),
        _row("            self.bytes -= row.size\n", "", "retention"),
        _row("            key=job.key,\n", "", "keys"),
        ("operations.py", "if is_held and", "if False and", "operations"),
        ("operations.py", " or known.token != token", "", "operations"),
        ("lanes.py", "            self.set_idle(key, tag[0])\n", "", "lanes"),
        ("keys.py", "        queue.ghosts[each] = latest\n", "", "shared_limits"),
        ("keys.py", "active + len(ends)", "active", "key_limits"),
        ("keys.py", "if gate.allowed(key) != 0}", "if False}", "key_limits"),
        ("token_buckets.py", "not self._bucket.pay(self.cost(id))", "False", "costs"),
        _row("if job.unique and (holder := ", "if False and (holder := ", "unique"),
        _row("(holds and self.is_live(known.id))", "holds", "unique"),
        _row("known.id == row.id and known.until <= now:", "known.until <= now:", "unique"),
        _row("known.until > now or ", "", "unique"),
        _row(" or not row.until_claimed)", ")", "unique"),
        _row("(job.priority, row.order[1])", "(job.priority, self._queue.next())", "replace"),
        _row(' and job.on_conflict == "push":', ":", "replace"),
        _row(
            "row.payload, row.priority, row.cost = job.payload,",
            "row.priority, row.cost =",
            "replace",
        ),
        _registry("known.last >= instant", "known.last > instant", "schedules"),
        _registry("by=by, reason=reason) if paused", "by=by) if paused", "administration model"),
        _registry("or known.paused ", "", "schedules"),
        _registry('elif step.what == "skip":', "elif False:", "schedules"),
        _registry("self._store.tell(queue, step.cancels)", "pass", "endings"),
        _registry("jobs.supersede(id, job.id, keep) or after", "after", "superseding"),
        _row("        self.end_awaited([ghost_name(id, token)])\n", "", "superseding"),
        _row("        self.pay(found)\n", "", "superseding"),
        _row("ghost_name(id, row.token) if row.place", "'' if row.place", "superseding"),
        _edit(
            "            if ghost in queue.edges.awaited:\n",
            "            if False:\n",
            "superseding",
        ),
        _edit("awaited[ghost] = min(end, now + longest)", "pass", "superseding"),
        (
            "dependencies.py",
            "        if not self._parents[child]:\n",
            "        if True:\n",
            "tests/unit/test_overlap.py",
        ),
        _row(
            "        row.created = self._now\n        self._queue.inherit",
            "        self._queue.inherit",
            "blocked",
        ),
        _row("        self._queue.inherit_name(row)\n", "", "successors"),
        _row("if job.unique and not after:", "if job.unique:", "successors"),
        _row("if self._queue.rows[id].unique == job.unique:", "if False:", "successors"),
        _row("self.holder(row.unique, math.inf):", "self.holder(row.unique, 0.0):", "successors"),
        _row("        if due > self._now:\n", "        if False:\n", "blocked"),
        _row("        self.edges.forget(row.id)\n        del", "        del", "blocked"),
        _row(
            "        self._queue.edges.forget(row.id)\n        self.pay",
            "        self.pay",
            "blocked",
        ),
        _edit("back = back or len(data.edges) < blocked\n", "pass\n", "blocked"),
        _registry("passed.last != known.last", "False", "schedules"),
        _edit(
            "        if is_new and not assigned:\n            self._store.wake(queue)\n",
            "",
            "waking",
        ),
        _registry("elif fresh and known.spec != spec:", "elif known.spec != spec:", "schedules"),
        _edit(
            "for id in data.lines[place].ids()][:page]",
            "for id in data.lines[place].ids()]",
            "parking",
        ),
    ),
)
