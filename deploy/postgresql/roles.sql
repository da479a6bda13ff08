-- Roles with the least privileges, for a database of Ironpost's own. Execute it once as a superuser:
--
--   createdb ironpost
--   psql -d ironpost -f roles.sql
--
-- then give each login role a password (\password ironpost_daemon), and make the tables:
--
--   ironpost storage migrate --url-file FILE     FILE holds the URL of ironpost_migrate
--
-- ironpost_owner   owns the tables and functions; nobody logs in as it
-- ironpost_writer  inserts and selects; it cannot change or delete a row, nor drop a table
-- ironpost_reader  selects
BEGIN;

CREATE ROLE ironpost_owner NOLOGIN;
CREATE ROLE ironpost_writer NOLOGIN;
CREATE ROLE ironpost_reader NOLOGIN;

CREATE ROLE ironpost_migrate LOGIN IN ROLE ironpost_owner;
ALTER ROLE ironpost_migrate SET role = ironpost_owner; -- what it makes belongs to the owner
CREATE ROLE ironpost_daemon LOGIN IN ROLE ironpost_writer;
CREATE ROLE ironpost_viewer LOGIN IN ROLE ironpost_reader;

CREATE SCHEMA ironpost AUTHORIZATION ironpost_owner;
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
