-- What the group roles may do; those that do not exist are left out. Migrate executes it each time.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ironpost_writer') THEN
        GRANT USAGE ON SCHEMA ironpost TO ironpost_writer;
        GRANT SELECT, INSERT ON ironpost.alerts, ironpost.actions, ironpost.logs TO ironpost_writer;
        GRANT SELECT ON ironpost.schema_version, ironpost.settings TO ironpost_writer;
        GRANT EXECUTE ON FUNCTION ironpost.create_partition, ironpost.drop_partition, ironpost.index_text TO ironpost_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ironpost_reader') THEN
        GRANT USAGE ON SCHEMA ironpost TO ironpost_reader;
        GRANT SELECT ON ironpost.alerts, ironpost.actions, ironpost.logs, ironpost.schema_version, ironpost.settings TO ironpost_reader;
    END IF;
END $$;
