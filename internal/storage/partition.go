package storage

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// daysAhead is for how many days after today partitions are made.
const daysAhead = 3

// Maintained says what Maintain did.
type Maintained struct {
	Created int      // partitions
	Dropped []string // partitions
	Indexed string   // partition that got its text index
	// OwnersDays is how many days the owner of the tables has this role keep, at least; 0 for an owner.
	OwnersDays int
}

// Maintain makes today's partitions and those of the next days, and drops those that are older than
// RetentionDays by the clock of the server and by ours: one clock that is wrong drops nothing. A role that does
// not own the tables drops nothing younger than OwnersDays either. With TextIndex it builds the
// text index of one closed day, which may take minutes. It should be called every hour; several hosts may.
func (s *Store) Maintain(ctx context.Context) (Maintained, error) {
	var done Maintained
	for _, t := range Tables() {
		for ahead := range daysAhead + 1 {
			made, err := s.createPartition(ctx, t, "current_date + $2::int", ahead)
			if err != nil {
				return done, err
			}
			if made {
				done.Created++
			}
		}
		if s.cfg.RetentionDays > 0 {
			dropped, err := s.dropPartitions(ctx, t)
			done.Dropped = append(done.Dropped, dropped...)
			if err != nil {
				return done, err
			}
		}
	}
	var err error
	if done.OwnersDays, err = s.ownersDays(ctx); err != nil || !s.cfg.TextIndex {
		return done, err
	}
	done.Indexed, err = s.indexText(ctx)
	return done, err
}

// createPartition makes the partition of a day, an expression of SQL with an argument.
func (s *Store) createPartition(ctx context.Context, t Table, day string, arg any) (made bool, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, "SELECT ironpost.create_partition($1, "+day+")", string(t), arg).Scan(&made)
	return made, classify(ctx, err)
}

func (s *Store) createPartitions(ctx context.Context, t Table, days []time.Time) error {
	for _, day := range days {
		if _, err := s.createPartition(ctx, t, "$2::date", day); err != nil {
			return err
		}
	}
	return nil
}

// dropPartitions drops the partitions older than RetentionDays, each in a transaction of its own.
func (s *Store) dropPartitions(ctx context.Context, t Table) (names []string, err error) {
	for {
		name, err := s.dropPartition(ctx, t)
		if err != nil || name == "" {
			return names, err
		}
		names = append(names, name)
	}
}

func (s *Store) dropPartition(ctx context.Context, t Table) (name string, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, "SELECT coalesce(ironpost.drop_partition($1, least(current_date, $2::date) - $3::int), '')",
		string(t), day(s.now()), s.cfg.RetentionDays).Scan(&name)
	return name, classify(ctx, err)
}

func (s *Store) ownersDays(ctx context.Context) (days int, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, `SELECT CASE WHEN pg_has_role(session_user, relowner, 'MEMBER') THEN 0 ELSE retention_days END
		FROM ironpost.settings, pg_class WHERE pg_class.oid = 'ironpost.settings'::regclass`).Scan(&days)
	return days, classify(ctx, err)
}

func (s *Store) indexText(ctx context.Context) (name string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, indexTimeout, errTimeout)
	defer cancel()
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0"); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT coalesce(ironpost.index_text(), '')").Scan(&name)
	})
	return name, classify(ctx, err)
}

// day returns the beginning of the day of t, which is a partition's lower bound.
func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// days returns each day of rows once.
func days(rows []Row) []time.Time {
	var out []time.Time
	for _, r := range rows {
		if d := day(r.receivedAt); !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}
