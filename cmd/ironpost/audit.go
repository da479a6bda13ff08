package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/actioncollector"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "check the record of actions", a.auditVerifyCommand(), a.auditAcceptCommand())
}

// verifyFlags are those of audit verify.
type verifyFlags struct {
	path    string
	host    string
	offline bool
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "was the audit trail changed",
		Long: `Reads the audit trail, from its first byte to its last, and names every record that
was changed, removed, swapped, doubled or cut off, with file, line and offset.

A trail cannot show by itself that its end was cut off. The daemon keeps its newest
record's number and hash apart from it; without the daemon, or with --offline, that is not
compared. Exits with 1 if the trail is broken. What an operator accepted (ironpost audit
accept) is told and does not count, for as long as nothing before it is changed again.`,
		Example: `  sudo ironpost audit verify
  ironpost audit verify --path ./copy-of-audit --offline
  ironpost audit verify --json | jq '.problems'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.verify(cmd.Context(), f) },
	}
	cmd.Flags().StringVar(&f.path, "path", "", "`folder` of the trail (default: collector.audit_path of the configuration)")
	cmd.Flags().StringVar(&f.host, "host", "", "whose head to compare with (default: the host of the daemon)")
	cmd.Flags().BoolVar(&f.offline, "offline", false, "do not ask the daemon for the head")
	return cmd
}

// checked is the --json of audit verify.
type checked struct {
	audit.Report
	Compared bool   `json:"compared"` // with the head that the daemon keeps
	Note     string `json:"note,omitempty"`
}

func (a *app) verify(ctx context.Context, f verifyFlags) error {
	path, err := a.auditPath(f.path)
	if err != nil {
		return err
	}
	head, note, err := a.keptHead(ctx, f) // before the files: they may grow meanwhile
	if err != nil {
		return err
	}
	report, err := audit.VerifyLive(ctx, path, head)
	if err != nil {
		return unreadableTrail(path, err)
	}
	result := checked{Report: report, Compared: head != nil, Note: note}
	if result.Problems == nil {
		result.Problems = []audit.Problem{}
	}
	if a.json {
		err = a.printJSON(result)
	} else {
		a.printReport(result)
	}
	if err == nil && !report.Intact {
		return shown(exitError, "the audit trail is broken")
	}
	return err
}

func (a *app) auditPath(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	cfg, _, err := a.load()
	if err != nil {
		return "", a.unreadable(err)
	}
	return cfg.Collector.AuditPath, nil
}

// keptHead returns nil, and why, if the daemon does not tell.
func (a *app) keptHead(ctx context.Context, f verifyFlags) (head *audit.Head, note string, err error) {
	if f.offline {
		return nil, "not compared with the daemon's head, as asked: an end that was cut off would not show", nil
	}
	err = a.ask(ctx, func(ctx context.Context, conn *bus.Conn) error {
		host := cmp.Or(f.host, conn.Host())
		if host == "" {
			return usage(errors.New("--url needs --host: whose head to compare with"))
		}
		kept, err := actioncollector.KeptHead(ctx, conn, host)
		head = &kept
		return err
	})
	var own *codedError
	if errors.As(err, &own) && own.code == exitUnreachable {
		return nil, "the daemon cannot be asked for the head, so an end that was cut off would not show: " + err.Error(), nil
	}
	if err == nil && head.Seq == 0 {
		return nil, "the daemon keeps no head yet", nil
	}
	return head, "", err
}

func unreadableTrail(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no audit trail in %s; name its folder with --path: %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the audit trail may be read by the daemon's user only; try sudo: %w", err)
	}
	return err
}

func (a *app) printReport(r checked) {
	for _, known := range r.Accepted {
		a.line(a.paint.word("accepted") + "  " + clean(fmt.Sprintf("by record %d, %s, %s: %s (problems before it: %d)",
			known.Seq, known.Time.UTC().Format(time.RFC3339), known.By, known.Reason, known.Problems)))
	}
	for _, p := range r.Problems {
		a.line(a.paint.word("broken") + "  " + clean(p.String()))
	}
	if r.Unlisted > 0 {
		a.line(fmt.Sprintf("and %d more", r.Unlisted))
	}
	if r.Note != "" {
		a.tell("note: " + clean(r.Note))
	}
	a.line(a.paint.word(r.word()) + ": " + clean(r.extent()))
}

func (r checked) word() string {
	if r.Intact {
		return "intact"
	}
	return "broken"
}

// extent says what was read.
func (r checked) extent() string {
	text := fmt.Sprintf("%d records in %d files of %s", r.Records, r.Files, r.Path)
	if r.Last.Seq == 0 {
		return text
	}
	return text + fmt.Sprintf(", record %d to %d, head %s", r.First.Seq, r.Last.Seq, r.Last.Hash)
}
