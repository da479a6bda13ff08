package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
)

func (a *app) logsCommand() *cobra.Command {
	f := recordFlags{}
	var query storage.Query
	search := &cobra.Command{
		Use:   "search TEXT",
		Short: "search the stored log lines",
		Long: `Lists the log lines that contain TEXT, in upper or lower case, the newest last.
It needs PostgreSQL: log_pipeline.storage.postgres_url. Days that are over are
searched in milliseconds if log_pipeline.storage.text_index is true.`,
		Example: `  ironpost logs search "Failed password"
  ironpost logs search 203.0.113.7 --since 7d --host web-1
  ironpost logs search error --source file:/var/log/syslog --json`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			query.Text = args[0]
			return a.searchLogs(cmd.Context(), f, query)
		},
	}
	flags := search.Flags()
	flags.StringVar(&f.since, "since", "24h", "how far back: 90m, 24h, 7d, a time, a day\nor all")
	flags.StringVar(&query.Host, "host", "", "only of this host")
	flags.StringVar(&query.LogSource, "source", "", "only from this source, such as\nfile:/var/log/syslog, syslog or container:web")
	flags.IntVar(&query.Limit, "limit", 100, "show only the newest; 0 shows all")
	return group("logs", "search log lines, and see how they are understood", search, a.explainCommand(), a.tapCommand())
}

func (a *app) searchLogs(ctx context.Context, f recordFlags, query storage.Query) error {
	since, err := parseSince(f.since, time.Now())
	if err != nil {
		return err
	}
	if query.Limit < 0 {
		return usageError(fmt.Errorf("--limit %d is negative", query.Limit))
	}
	cfg, _, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	to := cfg.LogPipeline.Storage
	if to.PostgresURL == "" {
		return errors.New("lines are not stored: set log_pipeline.storage.postgres_url")
	}
	query.Since = since
	l := &recordLister{app: a, limit: query.Limit, since: since, recordKind: recordKind{
		name: "lines", stored: storage.Logs, query: query, record: func() event.Record { return new(event.Log) },
		columns: []column{{"RECEIVED", 25}, {"HOST", 20}, {"SOURCE", 40}, {"LINE", 400}},
		row: func(data []byte) ([]string, error) {
			var line event.Log
			if err := decodeRecord(data, &line); err != nil {
				return nil, err
			}
			return []string{a.time(line.Received), line.Host, line.Source, line.Message}, nil
		},
	}}
	return l.printDatabase(ctx, to.PostgresURL, linePatience)
}
