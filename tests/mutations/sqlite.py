"""Bugs in the SQLite store: its Python and its SQL."""

from __future__ import annotations

from tests.mutations.mutation import mutations

SQLITE = mutations(
    "sqlite/",
    "sqlite",
    (
        ("moves.py", "            known.add(job.id)\n", "", "adding"),
        (
            "lanes.py",
            "start_tag(self._virtual_time(priority), lane.tag)",
            "self._virtual_time(priority)",
            "lanes",
        ),
        ("rows.py", "lanes.leave(row.key, row.priority)", "pass", "lanes"),
        ("lanes.py", "plain < row[0]", "plain <= row[0]", "lanes"),
        ("moves.sql", "AND jobs = 0 AND tag <= ?", "AND jobs = 0", "lanes"),
        ("rows.py", "job.until_claimed, job.key or None", "job.until_claimed, None", "keys"),
        ("moves.py", "held[job.unique] = job.id", "pass", "unique"),
        ("moves.py", "if is_pushed(new[holder], job):", "if True:", "replace"),
        ("moves.py", "merged(new[holder], job)", "new[holder]", "replace"),
        ("moves.py", 'any(each.outcome != "existed"', "any(each.is_new", "replace"),
        ("rows.py", "            row.rank = job.priority\n", "            pass\n", "replace"),
        ("rows.py", 'elif job.on_conflict == "push":', "else:", "replace"),
        (
            "rows.py",
            "        if row.large_size:\n            self",
            "        if 0:\n            self",
            "replace",
        ),
        ("rows.py", "        self.save_moved()  # the holder", "        # the holder", "unique"),
        ("moves.sql", "WHERE until > :time OR (", "WHERE (", "unique"),
        ("moves.sql", " AND NOT (until_claimed AND place = :active)", "", "unique"),
        (
            "moves.sql",
            "DELETE FROM names WHERE until <= :time AND (",
            "DELETE FROM names WHERE (",
            "unique",
        ),
        ("turns.py", "    return active + number\n", "    return active\n", "shared_limits"),
        (
            "turns.py",
            "        if freed and places != 0 and _any_waiting(self._tx, self._queue):\n",
            "        if False:\n",
            "shared_limits",
        ),
        ("turns.py", "        self.bucket.take(number)\n", "", "shared_limits"),
        ("turns.py", "        limited.bucket.empty()\n", "        pass\n", "shared_limits"),
        (
            "creation.py",
            'if end == "-journal" and _names_another(beside):',
            "if False:",
            "tests/unit/test_sqlite_file.py::test_a_journal_that_names_another_file_is_refused",
        ),
        (
            "creation.py",
            "for each in (*reversed(path.parents), path):",
            "for each in (path,):",
            "tests/security/test_planted.py::test_f60_a_link_in_place_of_a_directory_on_the_way_to_the_store",
        ),
        (
            "moves.py",
            "                tx.ended[queue].append(row.id)\n",
            "                pass\n",
            "endings",
        ),
        ("rows.py", " for row in rows if row.kept_in is None]", " for row in rows[:0]]", "endings"),
        ("writer.py", "if view.woken or any(view.ended.values()):", "if view.woken:", "endings"),
        (
            "endings.py",
            "        if received >= FULL:\n            self._heard.miss()\n",
            "",
            "tests/unit/test_sqlite_wakeups.py::test_more_ends_than_a_socket_holds_are_not_missed",
        ),
        (
            "moves.sql",
            "token = token + 1, started = ?",
            "token = token, started = ?",
            "claiming fencing",
        ),
        (
            "moves.py",
            "(id, token + 1, *rest, worker)",
            "(id, token, *rest, worker)",
            "claiming fencing",
        ),
        (
            "rows.py",
            "row.kept_in is not None and row.keeps_its_values:",
            "row.kept_in is not None:",
            "administration claiming retention",
        ),
        (
            "turns.py",
            "        number = 0 if paused else limit\n",
            "        number = limit\n",
            "administration",
        ),
        (
            "moves.sql",
            "INSERT OR REPLACE INTO paused",
            "INSERT OR IGNORE INTO paused",
            "administration",
        ),
        ("moves.py", "jobs.first(DELAYED, page, tx.time)", "jobs.first(DELAYED, page)", "delays"),
        ("moves.py", "and row.token == each.token", "", "leases"),
        ("moves.py", " and row.place == ACTIVE", "", "leases fencing"),
        (
            "rows.py",
            "        self._tx.count(self._queue, row.place, -1)\n",
            "",
            "administration delays",
        ),
        (
            "moves.py",
            "    if counted > retention.keep_completed or size",
            "    if size",
            "retention",
        ),
        (
            "rows.py",
            "self._tx.count(self._queue, row.kept_in, -1, -row.size)",
            "pass",
            "retention",
        ),
        (
            "rows.py",
            "row.priority, row.stood)",
            "row.priority, self._tx.next())",
            "leases delays parking",
        ),
        ("rows.py", "return row.rank <= self._tx.since_boot", "return True", "leases"),
        (
            "moves.sql",
            "WHERE queue = :queue AND place = :place\nORDER BY rank, seq LIMIT :limit;",
            "WHERE queue = :queue AND place = :place\nORDER BY seq LIMIT :limit;",
            "adding",
        ),
        (
            "moves.sql",
            "    result = coalesce(?, result),",
            "    result = coalesce(result, ?),",
            "administration claiming retention",
        ),
        (
            "moves.sql",
            "    jobs = jobs + excluded.jobs,",
            "    jobs = excluded.jobs,",
            "administration",
        ),
        (
            "rows.py",
            '        if large:\n            self._tx.execute(_SQL["delete',
            '        if False:\n            self._tx.execute(_SQL["delete',
            "large_payloads",
        ),
        (
            "rows.py",
            '(b"", len(payload)) if',
            '(b"", 1) if',
            "large_payloads",
        ),
        ("rows.py", " + self.large_size", "", "large_payloads"),
        (
            "moves.sql",
            """\
    ELSE CAST(coalesce(apart.payload, jobs.payload) AS BLOB) END,
    coalesce(length(apart.payload), length(jobs.payload)),
    failures, crashes, solo, created
FROM jobs LEFT JOIN large_payloads AS apart ON apart.job = iif(large, number, NULL)
WHERE queue = :queue AND place = :place
""",
            """\
    ELSE CAST(jobs.payload AS BLOB) END,
    coalesce(length(apart.payload), length(jobs.payload)),
    failures, crashes, solo, created
FROM jobs LEFT JOIN large_payloads AS apart ON apart.job = iif(large, number, NULL)
WHERE queue = :queue AND place = :place
""",
            "large_payloads",
        ),
        (
            "migration.py",
            "SET large = length(payload), payload",
            "SET large = 1, payload",
            "tests/stores/test_kept.py",
        ),
        ("standing.sql", "AND last < :instant", "AND last <= :instant", "schedules"),
        ("standing.sql", " AND NOT paused", "", "schedules"),
        ("standing.py", 'step.what == "skip" and', "False and", "schedules"),
        ("rows.py", "            self.edges.forget([row.id])\n", "", "blocked"),
        ("rows.py", "            self.edges.forget(row.id for row in rows)\n", "", "blocked"),
        ("rows.py", "        if row.rank > self._tx.time:\n", "        if False:\n", "blocked"),
        ("rows.py", "                self._pay(row.id)\n", "                pass\n", "blocked"),
        (
            "rows.py",
            "        self._tx.woken.add(self._queue)\n\n    def has",
            "\n    def has",
            "blocked",
        ),
        ("rows.py", "        self._loaded.update(found)\n", "", "blocked"),
        ("standing.py", "passed.last != found[0]", "False", "schedules"),
        (
            "standing.sql",
            "DO UPDATE SET seen = excluded.seen",
            "DO UPDATE SET seen = excluded.seen, last = excluded.last",
            "schedules",
        ),
        (
            "reading.sql",
            "AND rank <= :since_boot\nORDER BY rank, seq LIMIT :page;",
            "AND rank > :since_boot - 1000000000\nORDER BY rank, seq LIMIT :page;",
            "leases",
        ),
        (
            "reading.sql",
            "substr(worker, 1, length(:worker)) = :worker",
            "worker = :worker",
            "leases",
        ),
        ("writer.py", "if view.woken or any(view.ended.values()):", "if False:", "waking"),
        (
            "transaction.py",
            "if self.anchor.boot != known.boot:",
            "if False:",
            "tests/unit/test_sqlite_clock.py",
        ),
        (
            "file.py",
            "if found != LAYOUT:",
            "if False:",
            "tests/stores/test_migrating.py::test_only_who_is_told_to_migrates",
        ),
    ),
)
