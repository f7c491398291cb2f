-- Statements about schedules and workers. Parameters are listed in their order, or named where one
-- stands twice.

-- name: declare
-- `time` is now, and `now` the same in seconds. A new one starts at now.
INSERT INTO schedules (queue, name, spec, declared, declarer, seen, last)
VALUES (:queue, :name, :spec, :time, :by, :time, :now)
ON CONFLICT (queue, name) DO UPDATE SET seen = excluded.seen;

-- name: set_back
-- `time` is now, `now` the same in seconds, `ahead` from where on a moment is not believed: a
-- future that was noted before the clock was set back.
UPDATE schedules SET declared = min(declared, :time), last = min(last, :now)
WHERE queue = :queue AND name = :name
  AND (last > :now + :ahead OR declared > :time + 1000000 * :ahead);

-- name: replace_spec
-- `time` is now
UPDATE schedules SET
    former = spec, former_declarer = declarer, spec = :spec, declared = :time, declarer = :by
WHERE queue = :queue AND name = :name AND spec <> :spec;

-- name: withdraw
-- queue, name
UPDATE schedules SET seen = 0 WHERE queue = ? AND name = ?;

-- name: schedules
-- queue
SELECT name, spec, declared, declarer, former, former_declarer, seen, last, paused, tally
FROM schedules WHERE queue = ? ORDER BY name;

-- name: fires
-- Nothing if that instant or a later one fired.
SELECT last, tally FROM schedules
WHERE queue = :queue AND name = :name AND last < :instant AND NOT paused;

-- name: place
-- queue, id of a job
SELECT place FROM jobs WHERE queue = ? AND id = ?;

-- name: is_awaited
-- queue, ghost
SELECT 1 FROM awaited WHERE queue = ? AND ghost = ?;

-- name: fire
UPDATE schedules SET last = :instant, tally = :tally WHERE queue = :queue AND name = :name;

-- name: paused_tally
-- queue, name
SELECT tally FROM schedules WHERE queue = ? AND name = ? AND paused;

-- name: pass_over
-- until when, in seconds, tally, queue, name
UPDATE schedules SET last = max(last, ?), tally = ? WHERE queue = ? AND name = ?;

-- name: pause_schedule
-- paused, queue, name
UPDATE schedules SET paused = ? WHERE queue = ? AND name = ?;

-- name: remove_schedule
-- queue, name
DELETE FROM schedules WHERE queue = ? AND name = ?;

-- name: beat
-- `time` is now, `until` the end of its listing
INSERT INTO workers (id, info, started, seen, until) VALUES (:id, :info, :time, :time, :until)
ON CONFLICT (id) DO UPDATE SET info = excluded.info, seen = excluded.seen, until = excluded.until;

-- name: drop_silent
-- since boot
DELETE FROM workers WHERE until <= ?;

-- name: leave
-- id
DELETE FROM workers WHERE id = ?;

-- name: workers
-- since boot
SELECT id, info, started, seen FROM workers WHERE until > ? ORDER BY id;
