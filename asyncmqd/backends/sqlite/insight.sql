-- Statements for what only people ask. Parameters are listed in their order, or named where one stands
-- twice.

-- name: attempts_of
-- queue, id
SELECT CAST(attempts AS BLOB) FROM jobs WHERE queue = ? AND id = ?;

-- name: open_lanes
-- queue, limit: those whose turn is next, of the best priority first
SELECT lane, jobs FROM lanes INDEXED BY turns WHERE queue = ? AND activity = 0
ORDER BY priority, tag, lane LIMIT ?;

-- name: shut_lanes
-- queue, limit: of the keys that are closed, those that time opens first
SELECT closed_keys.job_key, sum(lanes.jobs)
FROM (
    SELECT queue, job_key, opens FROM closed_keys WHERE queue = ? ORDER BY opens, job_key LIMIT ?
) AS closed_keys
CROSS JOIN lanes
    ON lanes.queue = closed_keys.queue AND lanes.lane = closed_keys.job_key AND lanes.jobs > 0
GROUP BY closed_keys.job_key;

-- name: number_of_lanes
SELECT (
    SELECT count(*) FROM lanes INDEXED BY turns WHERE queue = :queue AND activity = 0
) + (SELECT count(*) FROM closed_keys WHERE queue = :queue);

-- name: waiting_job
-- `plain` and `keyed` are the places of waiting jobs: that of those without a key, and that of the others
SELECT rank, seq, CASE place WHEN :plain THEN NULL ELSE job_key END, lane
FROM jobs WHERE queue = :queue AND id = :id AND place IN (:plain, :keyed);

-- name: before_in_line
-- queue, place, priority, number
SELECT count(*) FROM jobs WHERE queue = ? AND place = ? AND (rank, seq) < (?, ?);

-- name: first_in_line
-- queue, place
SELECT id FROM jobs WHERE queue = ? AND place = ? ORDER BY rank, seq LIMIT 1;

-- name: before_in_lane
-- number of the lane, number of the job
SELECT count(*) FROM jobs WHERE lane = ? AND seq < ?;

-- name: first_in_lane
-- number of the lane
SELECT id FROM jobs WHERE lane = ? ORDER BY seq LIMIT 1;

-- name: lanes_of_key
-- queue, key
SELECT priority, jobs, number FROM lanes WHERE queue = ? AND lane = ? AND jobs > 0 ORDER BY priority;

-- name: tag_of_open_lane
-- queue, key, priority
SELECT tag FROM lanes WHERE queue = ? AND lane = ? AND priority = ? AND activity = 0;

-- name: last_tag
-- queue, key, priority
SELECT tag FROM lanes WHERE queue = ? AND lane = ? AND priority = ?;

-- name: virtual_time
-- queue, priority
SELECT reached FROM levels WHERE queue = ? AND priority = ?;

-- name: turns_before
-- queue, priority, tag, key
SELECT count(*) FROM lanes INDEXED BY turns
WHERE queue = ? AND activity = 0 AND priority = ? AND (tag, lane) < (?, ?);

-- name: active_by_key
-- queue, active place
SELECT job_key, count(*) FROM jobs WHERE queue = ? AND place = ? AND job_key IS NOT NULL GROUP BY 1;

-- name: mark
-- id, time, mark
INSERT OR IGNORE INTO marks (id, time, mark) VALUES (?, ?, ?);

-- name: forget_old_marks
-- the time up to which none is kept
DELETE FROM marks WHERE time <= ?;

-- name: forget_first_mark
-- If there are more than so many: `first_to_go` of domain/marks.py.
DELETE FROM marks WHERE id = (
    SELECT id FROM (
        SELECT id, time, count(*) OVER () AS total,
            count(*) OVER (PARTITION BY substr(id, 1, instr(id || ' ', ' ') - 1)) AS alike
        FROM marks)
    WHERE total > ? ORDER BY alike DESC, time, id LIMIT 1);

-- name: marks
SELECT time, CAST(mark AS BLOB) FROM marks ORDER BY time, id;
