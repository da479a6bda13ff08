package storage

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed grants.sql
var grants string

const (
	versionTable = schemaName + ".schema_version"
	migrateLock  = 0x49524f4e504f5354 // "IRONPOST"
	lockTries    = 60                 // one a second
)

// SchemaVersion returns the version of the tables that this program needs.
func SchemaVersion() int64 {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		panic("no migrations are embedded")
	}
	version, err := goose.NumericComponent(slices.Max(files))
	if err != nil {
		panic(err)
	}
	return version
}

// Prepare makes the tables if they are missing or old and the role may, and checks that they have
// the version that this program needs. Otherwise it returns an *Error of kind Schema that says what to do.
func (s *Store) Prepare(ctx context.Context) error {
	have, err := s.version(ctx)
	if err == nil && have < SchemaVersion() {
		err = s.Migrate(ctx)
		if denied := (*Error)(nil); errors.As(err, &denied) && denied.Kind == Denied {
			return &Error{Kind: Schema, Err: fmt.Errorf("its tables have version %d, this program needs %d, and this role may not change them: "+
				"execute \"ironpost storage migrate\" as their owner (%w)", have, SchemaVersion(), denied.Err)}
		}
	}
	if err == nil && have > SchemaVersion() {
		err = &Error{Kind: Schema, Err: fmt.Errorf("its tables have version %d, this program writes %d: update it", have, SchemaVersion())}
	}
	return err
}

// version returns the version of the tables, 0 if there are none.
func (s *Store) version(ctx context.Context) (int64, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var version int64
	err := s.pool.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable).Scan(&version)
	if code := codeOf(err); code == codeUndefinedTable || code == codeNoSchema {
		return 0, nil
	}
	return version, classify(ctx, err)
}

// Migrate makes the tables, or brings them to the version that this program needs, gives the group roles their
// privileges, and has those roles keep RetentionDays, unless that is 0. Several may call it at the same time, on any number of hosts. The role must own
// the schema ironpost, or be allowed to make it.
func (s *Store) Migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, indexTimeout, errTimeout)
	defer cancel()
	return classify(ctx, s.migrate(ctx))
}

func (s *Store) migrate(ctx context.Context) (err error) {
	settings := s.pool.Config().ConnConfig.Copy()
	settings.RuntimeParams["statement_timeout"] = "0"
	if err := makeSchema(ctx, settings); err != nil {
		return err
	}
	db := stdlib.OpenDB(*settings)
	defer func() { err = errors.Join(err, db.Close()) }()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(migrateLock), lock.WithLockTimeout(1, lockTries))
	if err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName(versionTable),
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, grants); err != nil || s.cfg.RetentionDays == 0 {
		return err
	}
	_, err = db.ExecContext(ctx, "UPDATE ironpost.settings SET retention_days = $1", s.cfg.RetentionDays)
	return err
}

// makeSchema makes the schema if it is missing. CREATE SCHEMA IF NOT EXISTS will not do: it needs a privilege
// also where the schema exists, and fails if another session makes it at the same moment.
func makeSchema(ctx context.Context, settings *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, settings)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // all was read
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrateLock)); err != nil {
			return err
		}
		var exists bool
		if err := tx.QueryRow(ctx, "SELECT to_regnamespace($1) IS NOT NULL", schemaName).Scan(&exists); err != nil || exists {
			return err
		}
		_, err := tx.Exec(ctx, "CREATE SCHEMA "+schemaName)
		return err
	})
}
