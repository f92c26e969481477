/**
 * Tables of the queue between key holders and scan workers. Unlogged: a job lives for seconds, its results
 * are the largest thing anybody writes here, and after a crash of the server, which empties such tables,
 * the key holder sends the job again. Nothing durable refers to them.
 */

/**
 * Dead rows are given back soon and without pauses: every job leaves as many as it had results. The server looks
 * once in its `autovacuum_naptime`, a minute by default: the tables stay as large as what comes in two of these.
 */
const VACUUM = `WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_scale_factor = 0,
  toast.autovacuum_vacuum_threshold = 20000, toast.autovacuum_vacuum_cost_delay = 0)`

/** @param s - quoted schema. */
export const queueTables = (s: string): string => `
CREATE UNLOGGED TABLE ${s}.scan_jobs (
  -- Microseconds of the server's clock: a crash would begin a sequence anew, while workers and key holders still
  -- hold tasks and queries of the numbers before.
  job bigint PRIMARY KEY DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
  collection bigint NOT NULL,
  reply text NOT NULL,
  -- Deleted by anyone after that; the key holder puts it off while it waits, up to the deadline.
  expires timestamptz NOT NULL,
  deadline timestamptz
);
CREATE INDEX scan_jobs_expires ON ${s}.scan_jobs (expires);
CREATE UNLOGGED TABLE ${s}.scan_queries (
  job bigint NOT NULL REFERENCES ${s}.scan_jobs ON DELETE CASCADE,
  position integer NOT NULL,
  epoch bigint NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (job, position, epoch)
) ${VACUUM};
ALTER TABLE ${s}.scan_queries ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE UNLOGGED TABLE ${s}.scan_tasks (
  job bigint NOT NULL REFERENCES ${s}.scan_jobs ON DELETE CASCADE,
  partition integer NOT NULL,
  partitions integer NOT NULL,
  collection bigint NOT NULL,
  blocks bigint[] NOT NULL,
  queued timestamptz NOT NULL DEFAULT statement_timestamp(),
  -- Counts the leases given; results are taken from the newest one only.
  lease integer NOT NULL DEFAULT 0,
  lease_until timestamptz,
  -- By the worker with the newest lease, until it is done with the task or gives it back.
  held boolean NOT NULL DEFAULT false,
  done boolean NOT NULL DEFAULT false,
  error text,
  PRIMARY KEY (job, partition)
) ${VACUUM};
CREATE INDEX scan_tasks_open ON ${s}.scan_tasks (collection, partitions, partition) WHERE NOT done;
CREATE UNLOGGED TABLE ${s}.scan_results (
  job bigint NOT NULL REFERENCES ${s}.scan_jobs ON DELETE CASCADE,
  partition integer NOT NULL,
  lease integer NOT NULL,
  block bigint NOT NULL,
  epoch bigint NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (job, partition, lease, block)
) ${VACUUM};
ALTER TABLE ${s}.scan_results ALTER COLUMN bytes SET STORAGE EXTERNAL;
-- Which worker has the blocks of a partition in memory; a preference, never a promise.
CREATE UNLOGGED TABLE ${s}.scan_owners (
  collection bigint NOT NULL,
  partitions integer NOT NULL,
  partition integer NOT NULL,
  worker text NOT NULL,
  until timestamptz NOT NULL,
  PRIMARY KEY (collection, partitions, partition)
);
CREATE INDEX scan_owners_worker ON ${s}.scan_owners (worker);
`
