-- +goose Up

-- retention_days is how many days besides today only an owner of the tables can drop: the role of a daemon, whose
-- URL may be stolen, reads it. "ironpost storage migrate" writes it.
CREATE TABLE ironpost.settings (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    retention_days integer NOT NULL CHECK (retention_days BETWEEN 1 AND 3650)
);
INSERT INTO ironpost.settings (retention_days) VALUES (30);

-- As before, and a role that is no member of the owner drops nothing that is younger than retention_days.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION ironpost.drop_partition(parent text, before date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    name text;
    kept_from date := current_date;
BEGIN
    IF parent NOT IN ('alerts', 'actions', 'logs') THEN
        RAISE EXCEPTION 'no table %', parent USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT pg_has_role(session_user, current_user, 'MEMBER') THEN -- current_user is the owner here
        SELECT current_date - retention_days INTO STRICT kept_from FROM ironpost.settings;
    END IF;
    SELECT c.relname INTO name
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = format('ironpost.%I', parent)::regclass
        AND c.relname ~ ('^' || parent || '_[0-9]{8}$')
        AND c.relname::text COLLATE "C" < parent || '_' || to_char(least(before, kept_from), 'YYYYMMDD')
    ORDER BY c.relname LIMIT 1;
    IF name IS NOT NULL THEN
        EXECUTE format('DROP TABLE ironpost.%I', name);
    END IF;
    RETURN name;
END $$;
-- +goose StatementEnd
