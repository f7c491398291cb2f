-- What a store that goes back in time does with the dates from the time ahead. All of them are read:
-- this happens once after a clock was wrong.

-- name: delays
-- `by` microseconds to `now`, and the places of what is delayed, or will be. What was delayed after the clock went
-- ahead keeps its distance: it was added since then, or has failed at least once.
UPDATE jobs SET rank = rank - :by
WHERE place IN (:delayed, :blocked) AND (created > :now OR failures > 0 OR crashes > 0);

-- name: ends
-- The same of jobs that ended since then; `ended` is a JSON array of their places.
UPDATE jobs SET rank = rank - :by, kept_until = kept_until - :by
WHERE place IN (SELECT value FROM json_each(:ended)) AND rank > :now;

-- name: jobs
UPDATE jobs SET created = min(created, :now), started = min(started, :now)
WHERE created > :now OR started > :now;

-- name: names
-- What was taken for a time keeps no more than that time.
UPDATE names SET until = min(until, :now + until - since), since = min(since, :now)
WHERE since > :now;

-- name: schedules
-- `seconds` is now. Instants from now on fire again, those before do not.
UPDATE schedules SET
    declared = min(declared, :now), seen = min(seen, :now), last = min(last, :seconds);

-- name: workers
UPDATE workers SET started = min(started, :now), seen = min(seen, :now);

-- name: limits
UPDATE limits SET arrival = arrival - :by, owes_since = owes_since - :by;

-- name: buckets
UPDATE buckets SET arrival = arrival - :by, owes_since = owes_since - :by;

-- name: closed_keys
UPDATE closed_keys SET opens = opens - :by;
