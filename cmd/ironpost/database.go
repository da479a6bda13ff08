package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/internal/storage"
)

// postgresURL returns where alerts and actions are stored besides the streams, "" if nowhere or
// if a flag names the daemon to ask.
func (a *app) postgresURL() string {
	if a.socket != "" || a.url != "" {
		return ""
	}
	cfg, _, err := a.loadConfig()
	if err != nil {
		return "" // reported when the daemon is looked for
	}
	if cfg.Bus.Hub != "" {
		return "" // the hub stores them
	}
	return cfg.LogPipeline.Storage.PostgresURL
}

// readRecords reads stored records: from PostgreSQL if that is configured, else from the streams of the bus, as also when
// PostgreSQL fails before database says that it began to use what came.
func (a *app) readRecords(ctx context.Context, name string, database func(url string) (began bool, err error), streams func(context.Context, *bus.Conn) error) error {
	if url := a.postgresURL(); url != "" {
		began, err := database(url)
		var failed *storage.Error
		if !errors.As(err, &failed) || began {
			return err
		}
		a.notef("warning: %v; these are the %s in the streams", failed, name)
	}
	return a.withConn(ctx, streams)
}

// How long PostgreSQL may take for the next record: a text may have to be looked for in every line.
const (
	recordPatience = 30 * time.Second
	linePatience   = 5 * time.Minute
)

// printDatabase prints the newest records in PostgreSQL up to the limit. Where only the newest record of each series is shown, it
// reads more records until there are enough series.
func (l *recordLister) printDatabase(ctx context.Context, url string, patience time.Duration) error {
	store, err := storage.Open(storage.Config{URL: url})
	if err != nil {
		return err
	}
	defer store.Close()
	if l.folds() && l.limit > 0 {
		if l.query.Limit, err = l.enough(ctx, store, patience); err != nil {
			return err
		}
	}
	return l.printNewest(func(each func(entry) error) error { return l.readDatabase(ctx, store, patience, each) })
}

// enough returns how many records must be read for as many series as are shown.
func (l *recordLister) enough(ctx context.Context, store *storage.Store, patience time.Duration) (int, error) {
	for {
		records, series := 0, map[string]bool{}
		undecoded := l.undecoded
		err := l.readDatabase(ctx, store, patience, func(e entry) error {
			series[l.series(e.raw)] = true
			records++
			return nil
		})
		records += l.undecoded - undecoded
		l.undecoded = undecoded
		if err != nil || len(series) >= l.limit || records < l.query.Limit {
			return l.query.Limit, err
		}
		l.query.Limit *= 8
	}
}

func (l *recordLister) readDatabase(ctx context.Context, store *storage.Store, patience time.Duration, each func(entry) error) error {
	return store.Read(ctx, l.stored, l.query, patience, func(_ time.Time, record []byte) error {
		raw := inOrder(record, l.record())
		cells, err := l.row(raw)
		if err != nil {
			l.undecoded++
			return nil
		}
		if cells == nil {
			return nil
		}
		return each(entry{cells: cells, raw: raw})
	})
}

// inOrder returns a record of PostgreSQL with its members in the order of the streams: jsonb does
// not keep it. r is an empty record of its kind. One with members that this version does not know
// is returned as it is.
func inOrder(record []byte, r event.Record) []byte {
	if json.Unmarshal(record, r) != nil {
		return record
	}
	ordered, err := json.Marshal(r)
	var before, after any
	if err != nil || json.Unmarshal(record, &before) != nil || json.Unmarshal(ordered, &after) != nil || !reflect.DeepEqual(before, after) {
		return record
	}
	return ordered
}

func (a *app) storageCommand() *cobra.Command {
	var file string
	var days int
	migrate := &cobra.Command{
		Use:   "migrate",
		Short: "make the tables in PostgreSQL, or bring them up to date",
		Long: `Makes the tables that alerts and actions are stored in, or brings them to the
version of this program, and gives the group roles their privileges. It may run
while daemons store: they wait while an index is made, and lose nothing. The
daemon does it itself if its role may; with the roles of
deploy/postgresql/roles.sql it may not, and cannot drop a day that is younger
than --retention-days: execute this again when retention_days changes.`,
		Example: `  ironpost storage migrate --url-file /root/ironpost-migrate.url`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.migrate(cmd.Context(), file, days)
		},
	}
	migrate.Flags().IntVar(&days, "retention-days", 0, "`days` that only the owner can drop\n(default: log_pipeline.storage.retention_days)")
	migrate.Flags().StringVar(&file, "url-file", "", "`file` with the postgres:// URL of the owner\n(default: log_pipeline.storage.postgres_url)")
	return group("storage", "look after PostgreSQL", migrate)
}

func (a *app) migrate(ctx context.Context, file string, days int) error {
	cfg, _, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	configured := cfg.LogPipeline.Storage
	if days == 0 {
		days = configured.RetentionDays
	}
	if problem := setting.Between(days, 1, 3650); problem != "" {
		return usageError(errors.New("--retention-days: " + problem))
	}
	url := configured.PostgresURL
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		url = strings.TrimSpace(string(text))
	}
	if url == "" {
		return usageError(errors.New("log_pipeline.storage.postgres_url is not set: name a file with the URL with --url-file"))
	}
	store, err := storage.Open(storage.Config{URL: url, RetentionDays: days})
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(migration{Version: int64(storage.SchemaVersion()), RetentionDays: days})
	}
	a.printf("the tables have version %d; only their owner can drop what is younger than %d days", storage.SchemaVersion(), days)
	return nil
}

// migration is the --json of storage migrate.
type migration struct {
	Version       int64 `json:"version"`        // of the tables
	RetentionDays int   `json:"retention_days"` // only the owner of the tables can drop younger days
}
