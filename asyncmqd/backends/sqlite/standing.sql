-- Statements about schedules and workers. Parameters are listed in their order.

-- name: declare
-- queue, name, spec, now, now in seconds. A new one starts at now.
INSERT INTO schedules (queue, name, spec, declared, seen, last) VALUES (?1, ?2, ?3, ?4, ?4, ?5)
ON CONFLICT (queue, name) DO UPDATE SET seen = excluded.seen;

-- name: replace_spec
-- queue, name, spec, now
UPDATE schedules SET spec = ?3, declared = ?4
WHERE queue = ?1 AND name = ?2 AND spec <> ?3;

-- name: schedules
-- queue
SELECT name, spec, declared, seen, last, paused
FROM schedules WHERE queue = ? ORDER BY name;

-- name: fire
-- queue, name, instant: changes nothing if that or a later one fired
UPDATE schedules SET last = ?3
WHERE queue = ?1 AND name = ?2 AND last < ?3 AND NOT paused;

-- name: pause_schedule
-- paused, queue, name
UPDATE schedules SET paused = ? WHERE queue = ? AND name = ?;

-- name: remove_schedule
-- queue, name
DELETE FROM schedules WHERE queue = ? AND name = ?;

-- name: beat
-- id, info, now, end of its listing
INSERT INTO workers (id, info, started, seen, until) VALUES (?1, ?2, ?3, ?3, ?4)
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
