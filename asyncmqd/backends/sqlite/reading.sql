-- Statements that only read. Parameters are listed in their order, or named where one stands twice.
-- Casts cost nothing; what a hand put into the file as text or a number would otherwise come out as
-- that, and hide all other rows.
-- `apart` is a payload that does not stand in its job's row: see `next` in moves.sql.

-- name: lapsed
-- `place` is the active one, `most` the bytes of a payload: a longer one is not loaded
SELECT id, token,
    CASE WHEN length(jobs.payload) > :most OR length(apart.payload) > :most THEN zeroblob(:most + 1)
    ELSE CAST(coalesce(apart.payload, jobs.payload) AS BLOB) END,
    coalesce(length(apart.payload), length(jobs.payload)),
    failures, crashes, solo, created, worker
FROM jobs LEFT JOIN large_payloads AS apart ON apart.job = iif(large, number, NULL)
WHERE queue = :queue AND place = :place AND rank <= :since_boot
ORDER BY rank, seq LIMIT :page;

-- name: held
-- `place` is the active one, `worker` the beginning of a name, `most` the bytes of a payload
SELECT id, token,
    CASE WHEN length(jobs.payload) > :most OR length(apart.payload) > :most THEN zeroblob(:most + 1)
    ELSE CAST(coalesce(apart.payload, jobs.payload) AS BLOB) END,
    coalesce(length(apart.payload), length(jobs.payload)),
    failures, crashes, solo, created, worker
FROM jobs LEFT JOIN large_payloads AS apart ON apart.job = iif(large, number, NULL)
WHERE queue = :queue AND place = :place
    AND substr(worker, 1, length(:worker)) = :worker
ORDER BY rank, seq;

-- name: first_rank
-- queue, place
SELECT min(rank) FROM jobs WHERE queue = ? AND place = ?;

-- name: records
-- JSON array of ids, queue
SELECT jobs.id, place, rank, CAST(coalesce(apart.payload, jobs.payload) AS BLOB), priority, token,
    failures, crashes, solo, created, started, worker,
    CAST(error AS BLOB), CAST(result AS BLOB), CAST(progress AS BLOB),
    coalesce(jobs.unique_name, ''), coalesce(job_key, '')
FROM json_each(?) AS wanted
CROSS JOIN jobs ON jobs.queue = ? AND jobs.id = wanted.value
LEFT JOIN large_payloads AS apart ON apart.job = iif(large, number, NULL);

-- name: parents
-- queue, JSON array of ids
SELECT child, parent FROM edges WHERE queue = ? AND child IN (SELECT value FROM json_each(?));

-- name: page
-- queue, place, limit, offset
SELECT id, place, rank, CAST(coalesce(apart.payload, jobs.payload) AS BLOB), priority, token,
    failures, crashes, solo, created, started, worker,
    CAST(error AS BLOB), CAST(result AS BLOB), CAST(progress AS BLOB),
    coalesce(jobs.unique_name, ''), coalesce(job_key, '')
FROM jobs LEFT JOIN large_payloads AS apart ON apart.job = iif(large, number, NULL)
WHERE queue = ? AND place = ?
ORDER BY rank, seq LIMIT ? OFFSET ?;

-- name: page_backwards
-- queue, place, limit, offset
SELECT id, place, rank, CAST(coalesce(apart.payload, jobs.payload) AS BLOB), priority, token,
    failures, crashes, solo, created, started, worker,
    CAST(error AS BLOB), CAST(result AS BLOB), CAST(progress AS BLOB),
    coalesce(jobs.unique_name, ''), coalesce(job_key, '')
FROM jobs LEFT JOIN large_payloads AS apart ON apart.job = iif(large, number, NULL)
WHERE queue = ? AND place = ?
ORDER BY rank DESC, seq DESC LIMIT ? OFFSET ?;

-- name: pause
-- queue
SELECT CAST(since AS INTEGER), CAST(pauser AS TEXT), CAST(reason AS TEXT) FROM paused WHERE queue = ?;

-- name: queues
SELECT queue FROM tallies WHERE jobs > 0 UNION SELECT queue FROM schedules ORDER BY queue;

-- name: closed_keys
-- queue
SELECT count(*) FROM closed_keys WHERE queue = ?;
