package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// tapInterval is how often the lines are asked for.
const tapInterval = 200 * time.Millisecond

// tapFlags are the flags of logs tap.
type tapFlags struct {
	host, source, format string
	limit                int
}

func (a *app) tapCommand() *cobra.Command {
	var f tapFlags
	cmd := &cobra.Command{
		Use:   "tap",
		Short: "show log lines with their fields as they arrive",
		Long: `Shows the lines that the log pipeline decodes from now on, each with the input
that it came from, its format, and the fields that rules see, until interrupted.
Only operators may: lines are what root alone may read.

It never slows the pipeline. At most 4 operators watch at once, and each gets at
most some thousand lines a second; how many more there were is said.`,
		Example: `  ironpost logs tap
  ironpost logs tap --source /var/log/auth.log
  ironpost logs tap --source 'container:*' --format plain --limit 10
  ironpost logs tap --json | jq 'select(.fields.action == "login_failed")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.limit < 0 {
				return usageError(fmt.Errorf("--limit %d is negative", f.limit))
			}
			return a.withConn(cmd.Context(), func(ctx context.Context, conn *bus.Conn) error { return a.tap(ctx, conn, f) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.source, "source", "", "only of this input, as in ironpost status, of\nthis file, or of a shell pattern of either")
	flags.StringVar(&f.format, "format", "", "only lines of this format, such as plain")
	flags.IntVar(&f.limit, "limit", 0, "end after so many lines; 0 does not end")
	hostFlag(cmd, &f.host)
	return cmd
}

func (a *app) tap(ctx context.Context, conn *bus.Conn, f tapFlags) error {
	host, err := hostOrDaemon(f.host, conn)
	if err != nil {
		return err
	}
	ask := func(ctx context.Context, r logpipeline.TapRequest) (logpipeline.TapReply, error) {
		ctx, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		var reply logpipeline.TapReply
		err := conn.Request(ctx, bus.VerbSubject(bus.LogPipeline, host, logpipeline.VerbTap), r, &reply)
		return reply, err
	}
	a.following = true
	reply, err := ask(ctx, logpipeline.TapRequest{Source: f.source, Format: f.format})
	if err != nil {
		return err
	}
	id, shown := reply.ID, 0
	defer func() {
		_, _ = ask(context.WithoutCancel(ctx), logpipeline.TapRequest{ID: id, End: true}) // else its lease ends it
	}()
	for {
		task.Pause(ctx, tapInterval)
		if ctx.Err() != nil {
			return nil
		}
		reply, err := ask(ctx, logpipeline.TapRequest{ID: id})
		if err != nil {
			return ignoreEnd(ctx, err)
		}
		for _, line := range reply.Lines {
			if err := a.printTapped(line); err != nil {
				return err
			}
			if shown++; shown == f.limit {
				return nil
			}
		}
		if reply.Dropped > 0 {
			a.notef("%d more lines came than could be shown", reply.Dropped)
		}
	}
}

// ignoreEnd returns err, or nil if ctx has ended: the operator has seen enough.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (a *app) printTapped(data []byte) error {
	var line logpipeline.TappedLine
	if err := json.Unmarshal(data, &line); err != nil {
		return fmt.Errorf("a line of the log pipeline: %w", err)
	}
	if a.json {
		return a.printJSON(line)
	}
	cut := ""
	if line.Cut {
		cut = "  (too long to show whole)"
	}
	a.printf("%s  %s  %s%s", a.time(line.Received), clean(line.Input), clean(line.Format), cut)
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(line.Fields)) {
		if name == "raw" || name == "trust" || strings.HasPrefix(name, "origin.") {
			continue // of the input, or as the message and the fields say
		}
		fields = append(fields, name+"="+fieldText(line.Fields[name]))
	}
	a.printWrapped("    ", strings.Join(fields, "  "))
	return nil
}
