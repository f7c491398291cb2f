-- What several statements have in common: `{NAME}` in them stands for the block of that name.
-- Casts cost nothing; what a hand put into the file as text or a number would otherwise come out as
-- that, and hide all other rows.

-- name: claim
jobs.id, token,
    CASE WHEN length(jobs.payload) > :most OR length(apart.payload) > :most THEN zeroblob(:most + 1)
    ELSE CAST(coalesce(apart.payload, jobs.payload) AS BLOB) END,
    coalesce(length(apart.payload), length(jobs.payload)),
    failures, crashes, solo, created

-- name: record
-- The first columns of a record; `rest` follows. A payload of more than `readable` bytes is not loaded.
jobs.id, place, rank,
    CASE WHEN length(jobs.payload) > :readable OR length(apart.payload) > :readable THEN x''
    ELSE CAST(coalesce(apart.payload, jobs.payload) AS BLOB) END

-- name: listed
-- name: rest
priority, token, failures, crashes, solo, created, started, worker,
    CAST(error AS BLOB), CAST(result AS BLOB), CAST(progress AS BLOB),
    coalesce(jobs.unique_name, ''), coalesce(job_key, ''), cost

-- name: payloads
-- Those that stand apart from the rows of their jobs. `iif` spares small ones the search for one.
LEFT JOIN large_payloads AS apart ON apart.job = iif(large, number, NULL)

-- name: sought
-- What `Sought` says; an empty value, or NULL, is for all jobs.
(:key = '' OR job_key = :key)
    AND (:created IS NULL OR created <= :created)
    AND (:head = x'' OR instr(substr(CAST(coalesce(apart.payload, jobs.payload) AS BLOB), 1, :bytes), :head))
    AND (:error = x'' OR instr(CAST(error AS BLOB), :error))

-- name: operation
id, CAST(orders AS BLOB), CAST(progress AS BLOB), moved, begun, token, carrier, until, ended, outcome, ended_by

-- name: new_job
INSERT INTO jobs (
    queue, id, place, rank, seq, stood, priority, created, unique_name, until_claimed, job_key,
    lane, payload, large
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, nullif(?, -1), ?, nullif(?, -1), nullif(?, -1), ?, ?)
