-- Statements about what is kept of the past. Parameters are listed in their order, or named where one
-- stands twice.

-- name: note_passed
-- queue, a place, or that of deleted jobs, jobs to add
INSERT INTO passed (queue, place, jobs) VALUES (?, ?, ?)
ON CONFLICT (queue, place) DO UPDATE SET jobs = jobs + excluded.jobs;

-- name: passed
-- queue
SELECT place, jobs FROM passed WHERE queue = ?;

-- name: totals
-- queue
SELECT totals FROM noted WHERE queue = ?;

-- name: save_totals
-- queue, totals
INSERT OR REPLACE INTO noted (queue, totals) VALUES (?, ?);

-- name: head
-- queue, place, rank: the first job after that of this rank
SELECT rank, created FROM jobs WHERE queue = ? AND place = ? AND rank > ?
ORDER BY rank, seq LIMIT 1;

-- name: period
-- minutes that it has, the first of them, queue
SELECT period FROM periods WHERE length = ? AND minute = ? AND queue = ?;

-- name: save_period
-- minutes that it has, the first of them, queue, period
INSERT OR REPLACE INTO periods (length, minute, queue, period) VALUES (?, ?, ?, ?);

-- name: old_periods
-- a minute: single ones up to it
SELECT queue, period FROM periods WHERE length = 1 AND minute <= ?;

-- name: forget_periods
-- minutes that they have, those up to a minute, those from another one on
DELETE FROM periods WHERE length = :length AND (minute <= :old OR minute > :future);

-- name: periods
-- All of a queue, a search for each minute that any queue has: those of other queues lie between.
WITH RECURSIVE known (minute) AS (
    SELECT min(minute) FROM periods WHERE length = :length
    UNION ALL
    SELECT (SELECT min(minute) FROM periods WHERE length = :length AND minute > known.minute)
    FROM known WHERE known.minute IS NOT NULL
)
SELECT period FROM known
CROSS JOIN periods ON length = :length AND periods.minute = known.minute AND queue = :queue
ORDER BY known.minute;
