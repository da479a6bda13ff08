-- Roles with the least privileges, for a database of Ironpost's own. Execute it as a superuser; again after a restore
-- (docs/operations.md), as it makes only what is missing:
--
--   createdb ironpost
--   psql -d ironpost -f roles.sql
--
-- then give each login role a password (\password ironpost_daemon), and make the tables:
--
--   ironpost storage migrate --url-file FILE     FILE holds the URL of ironpost_migrate
--
-- ironpost_owner   owns the tables and functions; nobody logs in as it
-- ironpost_writer  inserts and selects; it cannot change or delete a row, and drops days through a function that keeps
--                  those younger than the --retention-days of ironpost storage migrate
-- ironpost_reader  selects
BEGIN;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['ironpost_owner', 'ironpost_writer', 'ironpost_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
    END LOOP;
    FOREACH name IN ARRAY ARRAY['ironpost_migrate', 'ironpost_daemon', 'ironpost_viewer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
    END LOOP;
END $$;
GRANT ironpost_owner TO ironpost_migrate;
ALTER ROLE ironpost_migrate SET role = ironpost_owner; -- what it makes belongs to the owner
GRANT ironpost_writer TO ironpost_daemon;
GRANT ironpost_reader TO ironpost_viewer;

CREATE SCHEMA IF NOT EXISTS ironpost AUTHORIZATION ironpost_owner;
GRANT USAGE ON SCHEMA ironpost TO ironpost_writer, ironpost_reader;
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO ironpost_writer', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO ironpost_owner, ironpost_reader', current_database());
    EXECUTE format('GRANT CREATE ON DATABASE %I TO ironpost_owner', current_database()); -- for the extension pg_trgm
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

COMMIT;
