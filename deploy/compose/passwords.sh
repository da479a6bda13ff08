#!/bin/sh
# Gives the roles of roles.sql their passwords. PostgreSQL's image runs it once, when the database is made.
set -eu
for role in ironpost_migrate ironpost_daemon ironpost_viewer; do
  psql -v ON_ERROR_STOP=1 -v password="$(cat "/run/secrets/postgresql/$role")" -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<END
ALTER ROLE $role PASSWORD :'password';
END
done
