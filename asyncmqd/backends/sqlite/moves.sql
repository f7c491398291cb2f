-- Statements that write jobs. Parameters are listed in their order, or named where one stands
-- twice. `nullif(?, -1)`: -1 is given for NULL, see `plain` in sql_statements.py.

-- name: clock
-- The clock and the last number.
SELECT boot, since_boot, time, slow, sequence FROM store;

-- name: set_clock
-- boot, since boot, time, slow, sequence
INSERT INTO store (one, boot, since_boot, time, slow, sequence) VALUES (1, ?, ?, ?, ?, ?)
ON CONFLICT (one) DO UPDATE SET
    boot = excluded.boot,
    since_boot = excluded.since_boot,
    time = excluded.time,
    slow = excluded.slow,
    sequence = excluded.sequence;

-- name: set_sequence
UPDATE store SET sequence = ?;

-- name: end_leases
-- `place` is the active one: since_boot counts anew after a reboot, and no process outlived it.
UPDATE jobs SET rank = 0
WHERE queue IN (SELECT queue FROM tallies WHERE line = :place AND jobs > 0) AND place = :place;

-- name: end_ghosts
DELETE FROM ghosts;

-- name: end_awaited_leases
UPDATE awaited SET until = 0;

-- name: end_epoch
-- of events
UPDATE epoch SET until = 0;

-- name: forget_workers
DELETE FROM workers;

-- name: known
-- JSON array of ids, queue
SELECT jobs.id FROM json_each(?) AS wanted
CROSS JOIN jobs ON jobs.queue = ? AND jobs.id = wanted.value;

-- name: is_known
-- queue, id
SELECT 1 FROM jobs WHERE queue = ? AND id = ?;

-- name: insert
-- queue, id, place, rank, seq, stood, priority, created, unique name, whether it is held only until
-- the claim, key, lane, payload, bytes of one that stands apart
{new_job};

-- name: insert_unless_known
-- The same, unless the queue has its id.
{new_job} ON CONFLICT (queue, id) DO NOTHING;

-- name: holders
-- `names` is a JSON array of unique names, `active` the place of claimed jobs
SELECT names.name, names.id
FROM json_each(:names) AS wanted
CROSS JOIN names ON names.queue = :queue AND names.name = wanted.value
LEFT JOIN jobs ON jobs.queue = names.queue AND jobs.id = names.id
WHERE until > :time OR (
    jobs.number IS NOT NULL AND kept_in IS NULL AND NOT (until_claimed AND place = :active)
);

-- name: any_name
SELECT 1 FROM names LIMIT 1;

-- name: unique_name
-- number
SELECT unique_name FROM jobs WHERE number = ?;

-- name: take_name
-- queue, name, id, now, until when it is taken in any case
INSERT INTO names (queue, name, id, since, until) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (queue, name) DO UPDATE SET
    id = excluded.id, since = excluded.since, until = excluded.until
WHERE names.id <> excluded.id;

-- name: inherit_name
-- queue, name, id, now: it stays taken for as long as it was
INSERT INTO names (queue, name, id, since, until) VALUES (?, ?, ?, ?, 0)
ON CONFLICT (queue, name) DO UPDATE SET id = excluded.id;

-- name: successor
-- queue, id, unique name: of the jobs that wait for that one
SELECT edges.child FROM edges CROSS JOIN jobs
    ON jobs.queue = edges.queue AND jobs.id = edges.child
WHERE edges.queue = ? AND edges.parent = ? AND jobs.unique_name = ?;

-- name: forget_names
-- JSON array of numbers of jobs, a date: names that are taken for longer stay
DELETE FROM names WHERE until <= :time AND (queue, name, id) IN (
    SELECT queue, unique_name, id FROM jobs
    WHERE number IN (SELECT value FROM json_each(:numbers)) AND unique_name IS NOT NULL
);

-- name: clear_overdue_names
-- queue, now: of the first names whose time is over, those that their jobs may still hold
UPDATE names SET until = 0 WHERE (queue, name) IN (
    SELECT queue, name FROM names
    WHERE queue = :queue AND until > 0 AND until <= :time ORDER BY until LIMIT 10
) AND EXISTS (SELECT 1 FROM jobs WHERE jobs.queue = names.queue AND jobs.id = names.id);

-- name: forget_overdue_names
-- queue, now: of the first names whose time is over, those whose jobs are gone
DELETE FROM names WHERE (queue, name) IN (
    SELECT queue, name FROM names
    WHERE queue = :queue AND until > 0 AND until <= :time ORDER BY until LIMIT 10
) AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.queue = names.queue AND jobs.id = names.id);

-- name: dates
-- number
SELECT created, started FROM jobs WHERE number = ?;

-- name: replace
-- place, rank, seq, stood, lane, priority, cost, payload, bytes of one that stands apart, number
UPDATE jobs SET
    place = ?, rank = ?, seq = ?, stood = ?, lane = ?, priority = ?, cost = ?, payload = ?, large = ?
WHERE number = ?;

-- name: any_edge
-- queue
SELECT 1 FROM edges WHERE queue = ? LIMIT 1;

-- name: add_edge
-- queue, parent, child, seq
INSERT INTO edges (queue, parent, child, seq) VALUES (?, ?, ?, ?);

-- name: forget_edges
-- queue, JSON array of ids
DELETE FROM edges WHERE queue = ? AND child IN (SELECT value FROM json_each(?));

-- name: children
-- queue, parent
SELECT child FROM edges WHERE queue = ? AND parent = ? ORDER BY seq;

-- name: pay
-- queue, parent
DELETE FROM edges WHERE queue = ? AND parent = ?;

-- name: still_blocked
-- queue, JSON array of ids
SELECT DISTINCT child FROM edges
WHERE queue = ? AND child IN (SELECT value FROM json_each(?));

-- name: await_ghost
-- queue, ghost, end of the lease
INSERT OR REPLACE INTO awaited (queue, ghost, until) VALUES (?, ?, ?);

-- name: extend_awaited
-- end of the lease, queue, ghost
UPDATE awaited SET until = ? WHERE queue = ? AND ghost = ?;

-- name: bound_awaited
-- the latest end of a lease, queue
UPDATE awaited SET until = min(until, ?) WHERE queue = ?;

-- name: lapsed_ghosts
-- queue, since boot
SELECT until, ghost FROM awaited WHERE queue = ? AND until <= ?;

-- name: end_awaited
-- queue, ghost
DELETE FROM awaited WHERE queue = ? AND ghost = ?;

-- name: set_cost
-- cost, queue, id
UPDATE jobs SET cost = ? WHERE queue = ? AND id = ?;

-- name: costs
-- Of the first jobs of a place.
SELECT cost FROM jobs WHERE queue = :queue AND place = :place ORDER BY rank, seq LIMIT :limit;

-- name: costs_of_level
-- The same of one priority, `rank`.
SELECT cost FROM jobs WHERE queue = :queue AND place = :place AND rank = :rank
ORDER BY seq LIMIT :limit;

-- name: costs_of_lane
-- The same of one lane.
SELECT cost FROM jobs WHERE lane = :lane ORDER BY seq LIMIT :limit;

-- name: insert_large
-- payload, queue, id
INSERT INTO large_payloads (job, payload)
SELECT number, ? FROM jobs WHERE queue = ? AND id = ?;

-- name: rows
-- JSON array of ids, queue
SELECT number, jobs.id, place, rank, seq, stood, kept_in, kept_until, priority, token,
    length(payload), large, length(result), length(error), length(attempts), coalesce(job_key, ''), lane
FROM json_each(?) AS wanted
CROSS JOIN jobs ON jobs.queue = ? AND jobs.id = wanted.value;

-- name: rows_in
-- queue, place, highest rank, limit
SELECT number, id, place, rank, seq, stood, kept_in, kept_until, priority, token,
    length(payload), large, length(result), length(error), length(attempts), coalesce(job_key, ''), lane
FROM jobs WHERE queue = ? AND place = ? AND rank <= ?
ORDER BY rank, seq LIMIT ?;

-- name: rows_kept
-- queue, line, lowest and highest rank in it, limit
SELECT number, place, kept_in, large,
    length(payload) + large + length(result) + length(error) + length(attempts)
FROM jobs WHERE queue = ? AND kept_in = ? AND kept_until >= ? AND kept_until <= ?
ORDER BY kept_until, seq LIMIT ?;

-- name: save
-- place, rank, seq, stood, kept_in, kept_until, token, lane, place again, then what NULL leaves as it is:
-- created, failures, crashes, solo, error, result, progress, attempts; number
UPDATE jobs SET
    place = ?, rank = ?, seq = ?, stood = ?,
    kept_in = nullif(?, -1), kept_until = nullif(?, -1), token = ?, lane = nullif(?, -1),
    permit_key = iif(place = ?, permit_key, NULL),
    created = coalesce(nullif(?, -1), created),
    failures = coalesce(nullif(?, -1), failures),
    crashes = coalesce(nullif(?, -1), crashes),
    solo = coalesce(nullif(?, -1), solo),
    error = coalesce(nullif(?, -1), error),
    result = coalesce(nullif(?, -1), result),
    progress = coalesce(nullif(?, -1), progress),
    attempts = coalesce(nullif(?, -1), attempts)
WHERE number = ?;

-- name: attempts
-- number
SELECT CAST(attempts AS BLOB), started FROM jobs WHERE number = ?;

-- name: save_ended
-- place, rank, kept_in, kept_until, token, JSON object of seq by number: jobs that ended alike
UPDATE jobs SET
    place = ?, rank = ?, kept_in = ?, kept_until = ?, token = ?, seq = ended.value,
    lane = NULL, permit_key = NULL
FROM json_each(?) AS ended WHERE number = CAST(ended.key AS INTEGER);

-- name: delete
-- JSON array of numbers
DELETE FROM jobs WHERE number IN (SELECT value FROM json_each(?));

-- name: delete_large
-- JSON array of numbers
DELETE FROM large_payloads WHERE job IN (SELECT value FROM json_each(?));

-- name: next
-- `place` is the waiting one, `most` the bytes of a payload: a longer one is not loaded
SELECT number, {claim}
FROM jobs {payloads}
WHERE queue = :queue AND place = :place
ORDER BY rank, seq LIMIT :limit;

-- name: next_of_level
-- The same of one priority, `rank`.
SELECT number, {claim}
FROM jobs {payloads}
WHERE queue = :queue AND place = :place AND rank = :rank
ORDER BY seq LIMIT :limit;

-- name: next_of_lane
-- The same of one lane.
SELECT number, {claim}
FROM jobs {payloads}
WHERE lane = :lane
ORDER BY seq LIMIT :limit;

-- name: first_of_lanes
-- The first job of each of `lanes`, a JSON array of numbers; that of its lane comes last.
SELECT number, {claim}, wanted.value
FROM json_each(:lanes) AS wanted
CROSS JOIN jobs ON number = (
    SELECT number FROM jobs WHERE lane = wanted.value ORDER BY seq LIMIT 1
) {payloads};

-- name: first_rank
-- queue, place
SELECT min(rank) FROM jobs WHERE queue = ? AND place = ?;

-- name: number_of_level
-- queue, place, rank, limit: how many there are, counted up to the limit
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE queue = ? AND place = ? AND rank = ? LIMIT ?);

-- name: lane
-- queue, key, priority
SELECT number, jobs, tag, activity FROM lanes WHERE queue = ? AND lane = ? AND priority = ?;

-- name: active_lanes
-- queue, priority, limit: those whose turn is next
SELECT lane, number, jobs, tag FROM lanes WHERE queue = ? AND activity = 0 AND priority = ?
ORDER BY tag, lane LIMIT ?;

-- name: first_levels
-- The best priority of which a lane takes turns, and that of the jobs without a key, which wait in `place`
SELECT
    (SELECT min(priority) FROM lanes WHERE queue = :queue AND activity = 0),
    (SELECT min(rank) FROM jobs WHERE queue = :queue AND place = :place);

-- name: add_lane
-- queue, key, priority, jobs, tag, activity
INSERT INTO lanes (queue, lane, priority, jobs, tag, activity) VALUES (?, ?, ?, ?, ?, ?);

-- name: save_lanes
-- jobs to add, activity, JSON object of tags by number: lanes that changed alike
UPDATE lanes SET jobs = jobs + ?, activity = ?, tag = changed.value
FROM json_each(?) AS changed WHERE number = CAST(changed.key AS INTEGER);

-- name: save_lengths
-- jobs to add, JSON array of numbers: lanes of which nothing else has changed. Their index is not written.
UPDATE lanes SET jobs = jobs + ? WHERE number IN (SELECT value FROM json_each(?));

-- name: lanes_of_key
-- queue, key
SELECT priority FROM lanes WHERE queue = ? AND lane = ? AND jobs > 0;

-- name: is_closed
-- queue, key
SELECT opens FROM closed_keys WHERE queue = ? AND job_key = ?;

-- name: close_key
-- queue, key, date
INSERT OR REPLACE INTO closed_keys (queue, job_key, opens) VALUES (?, ?, ?);

-- name: open_key
-- queue, key
DELETE FROM closed_keys WHERE queue = ? AND job_key = ?;

-- name: open_key_by
-- date, queue, key
UPDATE closed_keys SET opens = min(opens, ?) WHERE queue = ? AND job_key = ?;

-- name: due_keys
-- queue, date: those that time has opened, a page
SELECT job_key FROM closed_keys WHERE queue = ? AND opens <= ? ORDER BY opens LIMIT 1000;

-- name: next_key
-- queue
SELECT min(opens) FROM closed_keys WHERE queue = ?;

-- name: judge_keys_anew
-- queue
UPDATE closed_keys SET opens = 0 WHERE queue = ?;

-- name: active_of_key
-- queue, key
SELECT count(*) FROM jobs WHERE queue = ? AND permit_key = ?;

-- name: note_permits
-- queue, active place: its keys may have had no limits until now
UPDATE jobs SET permit_key = job_key WHERE queue = ? AND place = ? AND job_key IS NOT NULL;

-- name: ghosts_of_key
-- queue, key, since boot
SELECT count(*), min(until) FROM ghosts WHERE queue = ? AND job_key = ? AND until > ?;

-- name: ghost_key
-- queue, id, token
SELECT job_key FROM ghosts WHERE queue = ? AND id = ? AND token = ?;

-- name: bucket
-- queue, key
SELECT arrival, owes_since FROM buckets WHERE queue = ? AND job_key = ?;

-- name: save_bucket
-- queue, key, two dates
INSERT OR REPLACE INTO buckets (queue, job_key, arrival, owes_since) VALUES (?, ?, ?, ?);

-- name: forget_full_buckets
-- queue, now
DELETE FROM buckets WHERE queue = ? AND arrival <= ?;

-- name: forget_outdated_lanes
-- queue, priority, virtual time
DELETE FROM lanes WHERE queue = ? AND activity = 2 AND priority = ? AND tag <= ?;

-- name: level
-- queue, priority
SELECT reached FROM levels WHERE queue = ? AND priority = ?;

-- name: save_level
-- queue, priority, virtual time
INSERT OR REPLACE INTO levels (queue, priority, reached) VALUES (?, ?, ?);

-- name: forget_lanes
-- queue, priority
DELETE FROM lanes WHERE queue = ? AND activity = 2 AND priority = ?;

-- name: forget_tags
-- queue, priority, of which no lane takes turns
UPDATE lanes SET tag = 0 WHERE queue = ? AND activity = 1 AND priority = ?;

-- name: forget_level
-- queue, priority
DELETE FROM levels WHERE queue = ? AND priority = ?;

-- name: claim
-- active place, end of the lease, the first seq, started, worker, whether keys have limits, JSON array of
-- numbers
UPDATE jobs SET
    place = ?, rank = ?, seq = ? + taken.key, token = token + 1, started = ?, worker = ?,
    lane = NULL, permit_key = iif(?, job_key, NULL)
FROM json_each(?) AS taken WHERE number = taken.value;

-- name: extend
-- end of the lease, the first seq, JSON array of numbers
UPDATE jobs SET rank = ?, seq = ? + held.key FROM json_each(?) AS held WHERE number = held.value;

-- name: tally
-- queue, line, jobs and bytes to add
INSERT INTO tallies (queue, line, jobs, bytes) VALUES (?, ?, ?, ?)
ON CONFLICT (queue, line) DO UPDATE SET
    jobs = jobs + excluded.jobs,
    bytes = bytes + excluded.bytes;

-- name: tallies
-- queue
SELECT line, jobs, bytes FROM tallies WHERE queue = ? AND jobs > 0 ORDER BY line;

-- name: gate
-- Whether it is paused, its limits over all daemons, and whether keys take turns.
SELECT EXISTS (SELECT 1 FROM paused WHERE queue = :queue),
    (SELECT declared FROM limits WHERE queue = :queue),
    EXISTS (SELECT 1 FROM lanes INDEXED BY turns WHERE queue = :queue AND activity < 2);

-- name: declare_limits
-- queue, declared
INSERT INTO limits (queue, declared) VALUES (?, ?)
ON CONFLICT (queue) DO UPDATE SET declared = excluded.declared;

-- name: filling
-- queue
SELECT arrival, owes_since FROM limits WHERE queue = ?;

-- name: tokens_and_permits
-- `active` is the place of claimed jobs. The bucket of a queue, whether any of its jobs costs more than
-- one token, how many are active, and its ghosts, those that are gone by now among them
SELECT arrival, owes_since, EXISTS (SELECT 1 FROM jobs WHERE queue = :queue AND cost <> 1),
    (SELECT jobs FROM tallies WHERE queue = :queue AND line = :active),
    (SELECT count(*) FROM ghosts WHERE queue = :queue)
FROM limits WHERE queue = :queue;

-- name: holding
-- `active` is the place of claimed jobs. How many are active, the ghosts, and when the first of their
-- leases ends
SELECT (SELECT jobs FROM tallies WHERE queue = :queue AND line = :active), count(*), min(until)
FROM ghosts WHERE queue = :queue AND until > :since_boot;

-- name: set_filling
-- two dates, queue
UPDATE limits SET arrival = ?, owes_since = ? WHERE queue = ?;

-- name: claimed
-- JSON array of ids, queue
SELECT started, job_key, cost FROM json_each(?) AS wanted
CROSS JOIN jobs ON jobs.queue = ? AND jobs.id = wanted.value;

-- name: leave_ghost
-- queue, id, token, end of the lease, key
INSERT OR REPLACE INTO ghosts (queue, id, token, until, job_key) VALUES (?, ?, ?, ?, ?);

-- name: end_ghost
-- queue, id, token
DELETE FROM ghosts WHERE queue = ? AND id = ? AND token = ?;

-- name: ghosts
-- queue, since boot
SELECT count(*), min(until) FROM ghosts WHERE queue = ? AND until > ?;

-- name: keys_of_late_ghosts
-- queue, since boot
SELECT job_key FROM ghosts WHERE queue = ? AND until > ?;

-- name: bound_ghosts
-- since boot, queue, the same
UPDATE ghosts SET until = ? WHERE queue = ? AND until > ?;

-- name: forget_ghosts
-- queue, since boot
DELETE FROM ghosts WHERE queue = ? AND until <= ?;

-- name: any_waiting
-- queue, waiting place
SELECT 1 FROM jobs WHERE queue = ? AND place = ? LIMIT 1;

-- name: pause
-- queue, now, by whom, why
INSERT OR REPLACE INTO paused (queue, since, pauser, reason) VALUES (?, ?, ?, ?);

-- name: resume
-- queue
DELETE FROM paused WHERE queue = ?;
