-- Statements about operations. Parameters are listed in their order, or named where one stands twice.

-- name: begin
INSERT INTO operations (queue, id, orders, begun, token, carrier, until)
VALUES (:queue, :id, :orders, :time, :carrier <> '', :carrier, :until)
ON CONFLICT (queue, id) DO NOTHING;

-- name: forget
-- `old` is a date: what began before it and has ended is deleted, and what is beyond `kept` records
DELETE FROM operations WHERE queue = :queue AND ended IS NOT NULL
    AND (begun < :old OR id IN (
        SELECT id FROM operations WHERE queue = :queue
        ORDER BY begun DESC, id DESC LIMIT -1 OFFSET :kept));

-- name: operation
-- queue, id
SELECT {operation} FROM operations WHERE queue = ? AND id = ?;

-- name: operations
-- queue
SELECT {operation} FROM operations WHERE queue = ? ORDER BY begun DESC, id DESC;

-- name: queues
SELECT DISTINCT queue FROM operations ORDER BY queue;

-- name: operating
SELECT DISTINCT queue FROM operations WHERE ended IS NULL ORDER BY queue;

-- name: carry
-- One whose lease ends later than one that is given now is of a clock that was set back.
UPDATE operations SET token = token + 1, carrier = :carrier, until = :time + :lease
WHERE queue = :queue AND id = :id AND ended IS NULL
    AND (until <= :time OR until > :time + :lease OR carrier IN (:carrier, :former));

-- name: is_carried
-- queue, id, token
SELECT 1 FROM operations WHERE queue = ? AND id = ? AND token = ? AND ended IS NULL;

-- name: advance
UPDATE operations SET
    moved = moved + :moved, until = :time + :lease, progress = coalesce(:progress, progress)
WHERE queue = :queue AND id = :id;

-- name: end
-- now, outcome, by whom, queue, id
UPDATE operations SET ended = ?, outcome = ?, ended_by = ?
WHERE queue = ? AND id = ? AND ended IS NULL;
