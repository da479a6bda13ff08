-- +goose Up

-- received_at is when the bus stored the record, and seq its sequence there: a record that is
-- delivered again has the same. record is the whole record; the other columns are for filters.
CREATE TABLE ironpost.alerts (
    received_at timestamptz NOT NULL,
    seq bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    host text COLLATE "C" NOT NULL,
    module text COLLATE "C" NOT NULL,
    severity smallint NOT NULL, -- 0 info, 1 low, 2 medium, 3 high, 4 critical
    rule text COLLATE "C" NOT NULL,
    rule_title text COLLATE "C" NOT NULL,
    source inet,
    target inet,
    trace_id text COLLATE "C" NOT NULL,
    series text COLLATE "C",
    record jsonb NOT NULL,
    PRIMARY KEY (received_at, id)
) PARTITION BY RANGE (received_at);
CREATE INDEX alerts_host ON ironpost.alerts (host, received_at);
CREATE INDEX alerts_severity ON ironpost.alerts (severity, received_at);
CREATE INDEX alerts_rule ON ironpost.alerts (rule, rule_title, received_at);
CREATE INDEX alerts_source ON ironpost.alerts (source, received_at);
CREATE INDEX alerts_target ON ironpost.alerts (target, received_at);

CREATE TABLE ironpost.actions (
    received_at timestamptz NOT NULL,
    seq bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    host text COLLATE "C" NOT NULL,
    module text COLLATE "C" NOT NULL,
    phase text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    policy text COLLATE "C" NOT NULL,
    alert_id text COLLATE "C" NOT NULL,
    target inet, -- if it is an address or a network
    trace_id text COLLATE "C" NOT NULL,
    record jsonb NOT NULL,
    PRIMARY KEY (received_at, id)
) PARTITION BY RANGE (received_at);
CREATE INDEX actions_host ON ironpost.actions (host, received_at);
CREATE INDEX actions_alert_id ON ironpost.actions (alert_id);
CREATE INDEX actions_target ON ironpost.actions (target, received_at);

CREATE TABLE ironpost.logs (
    received_at timestamptz NOT NULL,
    id text COLLATE "C" NOT NULL,
    host text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    process text COLLATE "C" NOT NULL,
    trace_id text COLLATE "C" NOT NULL,
    record jsonb NOT NULL,
    PRIMARY KEY (received_at, id)
) PARTITION BY RANGE (received_at);
CREATE INDEX logs_host ON ironpost.logs (host, received_at);
CREATE INDEX logs_source ON ironpost.logs (source, received_at);

-- The functions run as the owner, so that a role that may only insert and select can have
-- partitions made and dropped within these bounds.

-- create_partition makes the partition of a day (UTC) and reports whether it was missing. It is
-- attached, not created as a partition: that would lock out the readers of the whole table.
-- +goose StatementBegin
CREATE FUNCTION ironpost.create_partition(parent text, day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    name text := parent || '_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF parent NOT IN ('alerts', 'actions', 'logs') THEN
        RAISE EXCEPTION 'no table %', parent USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF day > current_date + 30 OR day < current_date - 3660 THEN
        RAISE EXCEPTION 'no partition for %: too far from today', day USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('ironpost.' || name));
    IF to_regclass(format('ironpost.%I', name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE ironpost.%I (LIKE ironpost.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name, parent);
    EXECUTE format('ALTER TABLE ironpost.%I ATTACH PARTITION ironpost.%I FOR VALUES FROM (%L) TO (%L)',
        parent, name, day::timestamptz, (day + 1)::timestamptz);
    RETURN true;
END $$;
-- +goose StatementEnd

-- drop_partition drops the oldest partition that holds nothing of the day before or later, and
-- returns its name, NULL if there is none. Today's partition is never dropped.
-- +goose StatementBegin
CREATE FUNCTION ironpost.drop_partition(parent text, before date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    name text;
BEGIN
    IF parent NOT IN ('alerts', 'actions', 'logs') THEN
        RAISE EXCEPTION 'no table %', parent USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT c.relname INTO name
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = format('ironpost.%I', parent)::regclass
        AND c.relname ~ ('^' || parent || '_[0-9]{8}$')
        AND c.relname::text COLLATE "C" < parent || '_' || to_char(least(before, current_date), 'YYYYMMDD')
    ORDER BY c.relname LIMIT 1;
    IF name IS NOT NULL THEN
        EXECUTE format('DROP TABLE ironpost.%I', name);
    END IF;
    RETURN name;
END $$;
-- +goose StatementEnd

-- index_text makes the index for text search on the newest closed day of logs that has none, and
-- returns the partition's name, NULL if all have one. A day is closed an hour after its end.
-- +goose StatementBegin
CREATE FUNCTION ironpost.index_text() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    name text;
    trgm text; -- schema of the extension
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('ironpost.index_text')) THEN
        RETURN NULL; -- another one is at it
    END IF;
    CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA ironpost;
    SELECT extnamespace::regnamespace::text INTO trgm FROM pg_extension WHERE extname = 'pg_trgm';
    SELECT c.relname INTO name
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'ironpost.logs'::regclass
        AND c.relname ~ '^logs_[0-9]{8}$'
        AND c.relname::text COLLATE "C" < 'logs_' || to_char(now() - interval '1 hour', 'YYYYMMDD')
        AND to_regclass(format('ironpost.%I', c.relname || '_text')) IS NULL
    ORDER BY c.relname DESC LIMIT 1;
    IF name IS NOT NULL THEN
        EXECUTE format('CREATE INDEX %I ON ironpost.%I USING gin ((record->>''message'') %s.gin_trgm_ops)', name || '_text', name, trgm);
    END IF;
    RETURN name;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION ironpost.create_partition, ironpost.drop_partition, ironpost.index_text FROM PUBLIC;
