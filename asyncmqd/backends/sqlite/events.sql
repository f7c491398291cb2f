-- Statements about events. Parameters are listed in their order.

-- name: epoch
-- since boot
SELECT epoch, number FROM epoch WHERE until > ?;

-- name: is_watched
-- since boot
SELECT until > ? FROM epoch;

-- name: begin
-- now
INSERT INTO epoch (epoch, number, until) VALUES (?, 0, 0);

-- name: watch
-- since boot, at the end
UPDATE epoch SET until = max(until, ?);

-- name: count
-- number of the newest event
UPDATE epoch SET number = ?;

-- name: add
-- number of the last of these events, the events
INSERT INTO events (number, batch) VALUES (?, ?);

-- name: drop
-- up to this number
DELETE FROM events WHERE number <= ?;

-- name: events
-- behind this number, how many batches
SELECT number, batch FROM events WHERE number > ? ORDER BY number LIMIT ?;

-- name: forget_events
DELETE FROM events;

-- name: forget_epoch
DELETE FROM epoch;
