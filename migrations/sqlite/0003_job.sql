-- The job runner: what it did, what it must not do for now, and what it finds its work by. Times are ms since 1970 UTC.

-- Each start of a job and how it ended. Append-only, but that old ones are forgotten.
CREATE TABLE job_runs (
    started_ms INTEGER NOT NULL,
    job TEXT NOT NULL,
    kind TEXT NOT NULL,
    area BLOB,
    duration_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    error TEXT
) STRICT;
CREATE INDEX job_runs_started ON job_runs (started_ms);
CREATE INDEX job_runs_job ON job_runs (job);

-- Kinds of jobs that are not started until somebody resumes them.
CREATE TABLE paused_kinds (
    kind TEXT PRIMARY KEY,
    since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The oldest of each area, the areas in turn: by number, so that those that are read together make one run of numbers.
DROP INDEX waiting_jobs_oldest;
CREATE INDEX waiting_jobs_next ON waiting_jobs (area, through_number, id);
-- Many timers are due at the same moment, the start of somebody's day: the record puts them in an order.
DROP INDEX timers_next;
CREATE INDEX timers_next ON timers (area, at_ms, record);
