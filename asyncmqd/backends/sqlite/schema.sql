-- The tables of a store, layout 21 (`user_version` of the file).
--
-- Dates are microseconds of the store's clock (clock.py). States, places and edges are decided
-- elsewhere: no name of one stands in any SQL, they come as parameters.

-- One row: the store's clock, and the number of the last move.
CREATE TABLE store (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    boot       TEXT NOT NULL,      -- the boot that `since_boot` counts from
    since_boot INTEGER NOT NULL,
    time       INTEGER NOT NULL,   -- the store's clock at that moment
    slow       INTEGER NOT NULL,   -- not 0 while the clock waits for the host's to catch up:
                                   -- since when, in microseconds since the host booted
    sequence   INTEGER NOT NULL
);

-- A small payload stands in the same row as what changes at each move: one write and one read a
-- job. A large one would be written anew at each move, and stands in `large_payloads`.
CREATE TABLE jobs (
    number     INTEGER PRIMARY KEY,
    queue      TEXT NOT NULL,
    id         TEXT NOT NULL,
    place      TEXT NOT NULL,      -- a state, or a shelf of one
    rank       INTEGER NOT NULL,   -- in its place: a priority or a date; a claim's lease ends at
                                   -- so many microseconds since the host booted
    seq        INTEGER NOT NULL,   -- after others of the same rank: the number of the move
    stood      INTEGER NOT NULL,   -- `seq` when it last waited
    kept_in    TEXT,               -- of an ended job: the line in which it is kept
    kept_until INTEGER,            -- its rank in there
    priority   INTEGER NOT NULL,
    token      INTEGER NOT NULL DEFAULT 0,
    failures   INTEGER NOT NULL DEFAULT 0,
    crashes    INTEGER NOT NULL DEFAULT 0,
    solo       INTEGER NOT NULL DEFAULT 0,
    created    INTEGER NOT NULL,
    started    INTEGER,
    worker     TEXT NOT NULL DEFAULT '',
    payload    BLOB NOT NULL,
    error      BLOB NOT NULL DEFAULT x'',
    result     BLOB NOT NULL DEFAULT x'',
    progress   BLOB NOT NULL DEFAULT x'',
    large      INTEGER NOT NULL DEFAULT 0, -- bytes of a payload in `large_payloads`; 0: it is here
    unique_name TEXT,              -- the digest of the name of a unique job
    until_claimed INTEGER NOT NULL DEFAULT 0, -- whether it holds its name only until it is claimed
    job_key    TEXT,               -- whose job it is
    cost       INTEGER NOT NULL DEFAULT 1, -- tokens that a start takes of every rate limit
    attempts   BLOB NOT NULL DEFAULT x'', -- those that did not end it well, see domain/attempts.py
    lane       INTEGER,            -- the number of the lane in which it waits
    permit_key TEXT,               -- while it is active in a queue whose keys have limits: its key
    UNIQUE (queue, id)
);

-- Written when the job is added, deleted with it, and never in between.
CREATE TABLE large_payloads (
    job     INTEGER PRIMARY KEY,   -- its number
    payload BLOB NOT NULL
);

-- The line of every place, in one index.
CREATE INDEX line ON jobs (queue, place, rank, seq);

-- The jobs of each lane, in order. Only those that wait in one: each start and each end would write
-- a page more.
CREATE INDEX lane ON jobs (lane, seq) WHERE lane IS NOT NULL;

-- Those that hold a permit of their key.
CREATE INDEX permits ON jobs (queue, permit_key) WHERE permit_key IS NOT NULL;

-- Whether any job of a queue costs more than one token.
CREATE INDEX priced ON jobs (queue) WHERE cost <> 1;

-- The lines in which ended jobs are kept.
CREATE INDEX kept ON jobs (queue, kept_in, kept_until, seq) WHERE kept_in IS NOT NULL;

-- Which job took a unique name last. It holds it while it is live, as far as `until_claimed` goes.
CREATE TABLE names (
    queue TEXT NOT NULL,
    name  TEXT NOT NULL,
    id    TEXT NOT NULL,
    since INTEGER NOT NULL,        -- a date: when it was taken
    until INTEGER NOT NULL,        -- a date: until then it is taken, whatever became of the job
    PRIMARY KEY (queue, name)
) WITHOUT ROWID;

-- Names that are or were taken for a time, by the end of that time.
CREATE INDEX overdue ON names (queue, until) WHERE until > 0;

-- Blocked jobs, each with all that have to end before it may run. The columns of the primary key come
-- first: else the integrity check of SQLite 3.40 takes the others for NULL.
CREATE TABLE edges (
    queue  TEXT NOT NULL,
    parent TEXT NOT NULL,
    seq    INTEGER NOT NULL,       -- children of one parent come back in this order
    child  TEXT NOT NULL,
    PRIMARY KEY (queue, parent, seq)
) WITHOUT ROWID;

CREATE UNIQUE INDEX parents ON edges (queue, child, parent);

-- How long each line is, counted along in the transaction of each move: a count over the index
-- would read all of it.
CREATE TABLE tallies (
    queue TEXT NOT NULL,
    line  TEXT NOT NULL,           -- a place, or a line in which ended jobs are kept
    jobs  INTEGER NOT NULL,
    bytes INTEGER NOT NULL,        -- of ended jobs: their payloads, results and errors
    PRIMARY KEY (queue, line)
) WITHOUT ROWID;

CREATE TABLE paused (
    queue  TEXT PRIMARY KEY,
    since  INTEGER,
    pauser TEXT NOT NULL DEFAULT '',           -- the system user
    reason TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

-- Limits that hold over all daemons, of the queues that have or had some.
CREATE TABLE limits (
    queue    TEXT PRIMARY KEY,
    declared BLOB NOT NULL,        -- a `DeclaredLimits`, as JSON
    arrival  REAL NOT NULL DEFAULT 0,          -- when the bucket of their rate would be full again
    owes_since REAL NOT NULL DEFAULT 0         -- since when it lacks more than it holds, for a job that
                                   -- is dearer than that
) WITHOUT ROWID;

-- Claims of these queues that were taken from their holders, whose permits are not free yet.
CREATE TABLE ghosts (
    queue TEXT NOT NULL,
    id    TEXT NOT NULL,
    token INTEGER NOT NULL,
    until INTEGER NOT NULL,        -- the end of the lease, in microseconds since the host booted
    job_key TEXT,
    PRIMARY KEY (queue, id, token)
) WITHOUT ROWID;

-- Ghosts that blocked jobs wait for, or were made to; each is a parent in `edges`.
CREATE TABLE awaited (
    queue TEXT NOT NULL,
    ghost TEXT NOT NULL,           -- token and id
    until INTEGER NOT NULL,        -- the end of the lease, in microseconds since the host booted
    PRIMARY KEY (queue, ghost)
) WITHOUT ROWID;

-- The lanes of waiting jobs that take turns, see domain/lanes.py: those that have jobs, and others
-- until virtual time has passed their tags.
CREATE TABLE lanes (
    number   INTEGER PRIMARY KEY,
    queue    TEXT NOT NULL,
    lane     TEXT NOT NULL,        -- a key; '': the jobs without one, which are not counted
    priority INTEGER NOT NULL,
    jobs     INTEGER NOT NULL,
    tag      INTEGER NOT NULL,
    activity INTEGER NOT NULL,     -- 0: it takes turns; 1: it does not, its key is closed; 2: it has no jobs
    UNIQUE (queue, lane, priority)
);

-- The lanes of each kind by their tags. A start writes this index, and no other of this table.
CREATE INDEX turns ON lanes (queue, activity, priority, tag, lane);

-- Keys of which no job may start, by their limits.
CREATE TABLE closed_keys (
    queue   TEXT NOT NULL,
    job_key TEXT NOT NULL,
    opens   INTEGER NOT NULL,      -- a date: when time alone opens it
    PRIMARY KEY (queue, job_key)
) WITHOUT ROWID;

CREATE INDEX opening ON closed_keys (queue, opens);

-- The rates of keys.
CREATE TABLE buckets (
    queue   TEXT NOT NULL,
    job_key TEXT NOT NULL,
    arrival REAL NOT NULL,         -- when it would be full again
    owes_since REAL NOT NULL DEFAULT 0,        -- as in `limits`
    PRIMARY KEY (queue, job_key)
) WITHOUT ROWID;

CREATE INDEX full_buckets ON buckets (queue, arrival);

-- How far virtual time is.
CREATE TABLE levels (
    queue    TEXT NOT NULL,
    priority INTEGER NOT NULL,
    reached  INTEGER NOT NULL,
    PRIMARY KEY (queue, priority)
) WITHOUT ROWID;

CREATE TABLE schedules (
    queue    TEXT NOT NULL,
    name     TEXT NOT NULL,
    spec     BLOB NOT NULL,
    declared INTEGER NOT NULL,
    seen     INTEGER NOT NULL,
    last     REAL NOT NULL,        -- in seconds, exactly as it was given: instants are compared
    paused   INTEGER NOT NULL DEFAULT 0,
    declarer TEXT NOT NULL DEFAULT '',         -- the process that declared `spec`
    former   BLOB NOT NULL DEFAULT x'',        -- the spec that this one replaced
    former_declarer TEXT NOT NULL DEFAULT '',
    tally    BLOB NOT NULL DEFAULT x'7b7d',    -- of its instants, as JSON: {}
    PRIMARY KEY (queue, name)
) WITHOUT ROWID;

-- What operators do to many jobs.
CREATE TABLE operations (
    queue    TEXT NOT NULL,
    id       TEXT NOT NULL,
    orders   BLOB NOT NULL,        -- an `Order`, as JSON
    progress BLOB NOT NULL DEFAULT x'',        -- a `Progress`, as JSON
    moved    INTEGER NOT NULL DEFAULT 0,       -- jobs
    begun    INTEGER NOT NULL,
    token    INTEGER NOT NULL,     -- of its last carrier
    carrier  TEXT NOT NULL,
    until    INTEGER NOT NULL,     -- a date: until then no other may carry it
    ended    INTEGER,
    outcome  TEXT NOT NULL DEFAULT '',
    ended_by TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (queue, id)
) WITHOUT ROWID;

CREATE INDEX under_way ON operations (queue) WHERE ended IS NULL;

-- Of events, see domain/events.py: the time in which somebody watches, one row or none.
CREATE TABLE epoch (
    epoch  INTEGER NOT NULL,       -- the date when it began
    number INTEGER NOT NULL,       -- of the newest event
    until  INTEGER NOT NULL        -- microseconds since the host booted
);

CREATE TABLE events (
    number INTEGER PRIMARY KEY,    -- of the last event of the batch
    batch  BLOB NOT NULL           -- lines of JSON
);

CREATE TABLE workers (
    id      TEXT PRIMARY KEY,
    info    BLOB NOT NULL,
    started INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    until   INTEGER NOT NULL       -- microseconds since the host booted
) WITHOUT ROWID;

-- What happened to processes, see domain/marks.py.
CREATE TABLE marks (
    id   TEXT PRIMARY KEY,
    time INTEGER NOT NULL,
    mark BLOB NOT NULL             -- JSON
) WITHOUT ROWID;

-- Of the past, see domain/history.py: jobs that have left an ended place for good, or are deleted.
CREATE TABLE passed (
    queue TEXT NOT NULL,
    place TEXT NOT NULL,
    jobs  INTEGER NOT NULL,
    PRIMARY KEY (queue, place)
) WITHOUT ROWID;

-- What became of all jobs that a queue ever had, as it was noted last: a `Totals`, as msgpack.
CREATE TABLE noted (
    queue  TEXT PRIMARY KEY,
    totals BLOB NOT NULL
) WITHOUT ROWID;

-- All queues of a minute lie together: who notes a minute of many writes few pages.
CREATE TABLE periods (
    length INTEGER NOT NULL,       -- how many minutes it has
    minute INTEGER NOT NULL,       -- the first of them
    queue  TEXT NOT NULL,
    period BLOB NOT NULL,          -- a `Period`, as msgpack
    PRIMARY KEY (length, minute, queue)
) WITHOUT ROWID;
