package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Result says what became of the rows of a Write.
type Result struct {
	Inserted int
	Present  int // were stored before
	Rejected []Rejected
}

// Rejected is a row that PostgreSQL refuses for its content, now and later.
type Rejected struct {
	Index int // in the rows given to Write
	Err   *Error
}

// Write stores rows in batches of BatchSize, each in one transaction; a row whose key is in the table
// already is left as it is. When it returns nil, all rows but the rejected are on the server's disk. After
// an error some may be; the same call again is safe and stores the rest.
func (s *Store) Write(ctx context.Context, t Table, rows []Row) (Result, error) {
	var result Result
	at := 0
	for batch := range slices.Chunk(rows, s.cfg.BatchSize) {
		if err := s.writeBatch(ctx, t, batch, at, &result); err != nil {
			return result, err
		}
		at += len(batch)
	}
	return result, nil
}

// writeBatch stores a batch whose first row has index at. If a row is refused, it stores each half by itself.
func (s *Store) writeBatch(ctx context.Context, t Table, rows []Row, at int, result *Result) error {
	inserted, err := s.insert(ctx, t, rows)
	var refused *Error
	switch {
	case err == nil:
		result.Inserted += int(inserted)
		result.Present += len(rows) - int(inserted)
		return nil
	case !errors.As(err, &refused) || refused.Retryable():
		return err
	case len(rows) == 1:
		result.Rejected = append(result.Rejected, Rejected{at, refused})
		return nil
	}
	half := len(rows) / 2
	if err := s.writeBatch(ctx, t, rows[:half], at, result); err != nil {
		return err
	}
	return s.writeBatch(ctx, t, rows[half:], at+half, result)
}

// insert stores rows in one transaction and returns how many were not in the table. It begins with a plain
// COPY, which is the fastest; a row that is present, or whose day has no partition, needs another attempt.
func (s *Store) insert(ctx context.Context, t Table, rows []Row) (int64, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	write := s.copyInto
	for partitioned := false; ; {
		n, err := write(ctx, t, rows)
		switch code := codeOf(err); {
		case code == codeUnique:
			write = s.copyNew
		case code == codeCheckViolation && !partitioned:
			partitioned = true
			if err := s.createPartitions(ctx, t, days(rows)); err != nil {
				return 0, classify(ctx, err)
			}
		default:
			return n, classify(ctx, err)
		}
	}
}

func (s *Store) copyInto(ctx context.Context, t Table, rows []Row) (int64, error) {
	return s.pool.CopyFrom(ctx, pgx.Identifier{schemaName, string(t)}, t.columns(), source(rows))
}

// copyNew stores the rows that are not in the table, through a temporary table.
func (s *Store) copyNew(ctx context.Context, t Table, rows []Row) (inserted int64, err error) {
	columns := strings.Join(t.columns(), ", ")
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf("CREATE TEMPORARY TABLE batch ON COMMIT DROP AS SELECT %s FROM %s.%s WITH NO DATA", columns, schemaName, t)); err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "batch"}, t.columns(), source(rows)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, fmt.Sprintf("INSERT INTO %s.%s (%s) SELECT %s FROM pg_temp.batch ON CONFLICT DO NOTHING", schemaName, t, columns, columns))
		inserted = tag.RowsAffected()
		return err
	})
	return inserted, err
}

func source(rows []Row) pgx.CopyFromSource {
	return pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) { return rows[i].values, nil })
}
