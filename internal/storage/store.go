package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connectTimeout = 5 * time.Second
	callTimeout    = 30 * time.Second // of one batch, query or change of partitions
	indexTimeout   = 30 * time.Minute // of building the text index of a day
	cancelTimeout  = time.Second      // for the server to end a call whose context has ended
	maxConns       = 4                // alerts, actions and maintenance at the same time
	schemaName     = "ironpost"
)

// DefaultBatchSize is the rows of one COPY if Config says nothing.
const DefaultBatchSize = 5000

// errTimeout tells our own time limit from the end of the caller's context.
var errTimeout = errors.New("no answer within the time limit")

// Config says where and how records are stored.
type Config struct {
	// URL is a postgres:// URL. It may hold a password and is never logged.
	URL string
	// BatchSize is the most rows of one COPY; 0 means DefaultBatchSize.
	BatchSize int
	// RetentionDays is how many days are kept besides today; 0 keeps all.
	RetentionDays int
	// TextIndex has the text index of logs built for each closed day.
	TextIndex bool
}

// Store is a database. Its methods may be called concurrently. Every method that takes a context
// returns an *Error, or the context's error once it has ended.
type Store struct {
	cfg  Config
	pool *pgxpool.Pool

	callTimeout time.Duration
	recentRows  int
	now         func() time.Time
}

// CheckURL says what is wrong with a URL, without its password; nil if nothing is. It connects to nothing.
func CheckURL(url string) error {
	_, err := settingsOf(url)
	return err
}

// settingsOf returns how to connect, with time limits for the server where the URL sets none.
func settingsOf(url string) (*pgxpool.Config, error) {
	settings, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err // without the password
	}
	settings.MaxConns, settings.MinConns = maxConns, 0
	settings.ConnConfig.ConnectTimeout = connectTimeout
	parameters := settings.ConnConfig.RuntimeParams
	for name, value := range map[string]string{
		"application_name": "ironpost", "timezone": "UTC",
		"statement_timeout":                   fmt.Sprint(callTimeout.Milliseconds()),
		"lock_timeout":                        fmt.Sprint((callTimeout / 2).Milliseconds()),
		"idle_in_transaction_session_timeout": fmt.Sprint(callTimeout.Milliseconds()),
	} {
		if parameters[name] == "" {
			parameters[name] = value
		}
	}
	settings.AfterConnect = commitDurably
	settings.ConnConfig.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler { // else the server goes on for nobody
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelTimeout}
	}
	return settings, nil
}

// Open returns the store of cfg, which the caller closes. It does not connect: that is done by the first
// call that needs it, again after a connection was lost. The error is that of CheckURL.
func Open(cfg Config) (*Store, error) {
	settings, err := settingsOf(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.BatchSize <= 0 {
		cfg.BatchSize = DefaultBatchSize
	}
	s := &Store{cfg: cfg, callTimeout: callTimeout, recentRows: recentRows, now: time.Now}
	s.pool, err = pgxpool.NewWithConfig(context.Background(), settings) // connects nowhere
	return s, err
}

// commitDurably makes a commit wait for the disk where the server is set not to: a record is
// acknowledged to the bus after its commit.
func commitDurably(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	return err
}

// Close closes the connections. Calls that run are waited for.
func (s *Store) Close() { s.pool.Close() }

// Ping checks that the server answers.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return classify(ctx, s.pool.Ping(ctx))
}

func (s *Store) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.callTimeout, errTimeout)
}
