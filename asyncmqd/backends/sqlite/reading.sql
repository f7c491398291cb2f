-- Statements that only read. Parameters are listed in their order, or named where one stands twice.

-- name: lapsed
-- `place` is the active one, `most` the bytes of a payload: a longer one is not loaded
SELECT {claim}, worker
FROM jobs {payloads}
WHERE queue = :queue AND place = :place AND rank <= :since_boot
ORDER BY rank, seq LIMIT :page;

-- name: held
-- `place` is the active one, `worker` the beginning of a name, `most` the bytes of a payload
SELECT {claim}, worker
FROM jobs {payloads}
WHERE queue = :queue AND place = :place
    AND substr(worker, 1, length(:worker)) = :worker
ORDER BY rank, seq;

-- name: first_rank
-- queue, place
SELECT min(rank) FROM jobs WHERE queue = ? AND place = ?;

-- name: records
-- `ids` is a JSON array
SELECT {record}, {rest}
FROM json_each(:ids) AS wanted
CROSS JOIN jobs ON jobs.queue = :queue AND jobs.id = wanted.value
{payloads};

-- name: parents
-- queue, JSON array of ids
SELECT child, parent FROM edges WHERE queue = ? AND child IN (SELECT value FROM json_each(?));

-- name: page
SELECT {record}, {rest}
FROM jobs {payloads}
WHERE queue = :queue AND place = :place
ORDER BY rank, seq LIMIT :limit OFFSET :offset;

-- name: page_backwards
SELECT {record}, {rest}
FROM jobs {payloads}
WHERE queue = :queue AND place = :place
ORDER BY rank DESC, seq DESC LIMIT :limit OFFSET :offset;

-- name: ahead
-- The ranks of a page of jobs behind a mark, from the index alone.
SELECT rank, seq FROM jobs
WHERE queue = :queue AND place = :place AND (rank, seq) > (:rank, :seq)
ORDER BY rank, seq LIMIT :page;

-- name: ahead_backwards
SELECT rank, seq FROM jobs
WHERE queue = :queue AND place = :place AND (rank, seq) < (:rank, :seq)
ORDER BY rank DESC, seq DESC LIMIT :page;

-- name: search
-- The jobs behind a mark, up to a last one, that have what is sought.
SELECT seq, {record}, {rest}
FROM jobs {payloads}
WHERE queue = :queue AND place = :place
    AND (rank, seq) > (:rank, :seq) AND (rank, seq) <= (:last_rank, :last_seq) AND {sought}
ORDER BY rank, seq LIMIT :most;

-- name: search_backwards
SELECT seq, {record}, {rest}
FROM jobs {payloads}
WHERE queue = :queue AND place = :place
    AND (rank, seq) < (:rank, :seq) AND (rank, seq) >= (:last_rank, :last_seq) AND {sought}
ORDER BY rank DESC, seq DESC LIMIT :most;

-- name: pause
-- queue
SELECT CAST(since AS INTEGER), CAST(pauser AS TEXT), CAST(reason AS TEXT) FROM paused WHERE queue = ?;

-- name: queues
SELECT queue FROM tallies WHERE jobs > 0 UNION SELECT queue FROM schedules ORDER BY queue;

-- name: next_ghost
-- queue
SELECT min(until) FROM awaited WHERE queue = ?;

-- name: closed_keys
-- queue
SELECT count(*) FROM closed_keys WHERE queue = ?;
