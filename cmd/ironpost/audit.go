package main

import (
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
	return group("audit", "check the audit trail of actions", a.auditVerifyCommand(), a.auditAcceptCommand())
}

type verifyFlags struct {
	path    string
	host    string
	offline bool
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "check that the audit trail was not changed",
		Long: `Reads the whole audit trail and reports every record that was changed, removed,
swapped, duplicated or cut off, with file, line and offset. Exits with 1 if the
trail is broken.

The trail alone cannot show that records at its end were cut off. Therefore the
daemon keeps number and hash of the newest record (the head) in another place,
and verify compares them. Without the daemon, or with --offline, it does not.

Problems that an operator accepted (ironpost audit accept) are listed but do
not count, as long as nothing before the acceptance changes again.`,
		Example: `  sudo ironpost audit verify
  ironpost audit verify --path ./copy-of-audit --offline
  ironpost audit verify --json | jq '.problems'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.auditVerify(cmd.Context(), f) },
	}
	cmd.Flags().StringVar(&f.path, "path", "", "`folder` of the trail\n(default: collector.audit_path)")
	cmd.Flags().StringVar(&f.host, "host", "", "machine whose head is compared\n(default: that of the daemon)")
	cmd.Flags().BoolVar(&f.offline, "offline", false, "do not ask the daemon for the head")
	return cmd
}

// verifyResult is the --json of audit verify.
type verifyResult struct {
	audit.Report
	Compared bool   `json:"compared"` // with the daemon's head
	Note     string `json:"note,omitempty"`
}

func (a *app) auditVerify(ctx context.Context, f verifyFlags) error {
	path := f.path
	if path == "" {
		cfg, _, err := a.loadConfig()
		if err != nil {
			return configError(err)
		}
		path = cfg.Collector.AuditPath
	}
	head, note, err := a.daemonHead(ctx, f) // before the files are read, because they may grow
	if err != nil {
		return err
	}
	report, err := audit.VerifyLive(ctx, path, head)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no audit trail in %s; name its folder with --path: %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("only the user of the daemon may read the audit trail; try sudo: %w", err)
	case err != nil:
		return err
	}
	result := verifyResult{Report: report, Compared: head != nil, Note: note}
	if result.Problems == nil {
		result.Problems = []audit.Problem{}
	}
	if a.json {
		err = a.printJSON(result)
	} else {
		a.printVerifyResult(result)
	}
	if err == nil && !report.Intact {
		return silentError(exitError, "the audit trail is broken")
	}
	return err
}

// daemonHead returns the head that the daemon keeps, or nil and a note why it
// cannot be compared.
func (a *app) daemonHead(ctx context.Context, f verifyFlags) (head *audit.Head, note string, err error) {
	if f.offline {
		return nil, "not compared with the daemon's head (--offline): an end that was cut off would not show", nil
	}
	err = a.withTimeout(ctx, a.timeout, func(ctx context.Context, conn *bus.Conn) error {
		host, err := hostOrDaemon(f.host, conn)
		if err != nil {
			return err
		}
		kept, err := actioncollector.StoredHead(ctx, conn, host)
		head = &kept
		return err
	})
	var coded *codedError
	if errors.As(err, &coded) && coded.code == exitUnreachable {
		return nil, "not compared with the daemon's head, so an end that was cut off would not show: " + err.Error(), nil
	}
	if err == nil && head.Seq == 0 {
		return nil, "the daemon keeps no head yet", nil
	}
	return head, "", err
}

func (a *app) printVerifyResult(r verifyResult) {
	for _, acc := range r.Accepted {
		a.printf("%s  %s", a.paint.word("accepted"), clean(fmt.Sprintf("by record %d, %s, %s: %s (problems before it: %d)",
			acc.Seq, acc.Time.UTC().Format(time.RFC3339), acc.By, acc.Reason, acc.Problems)))
	}
	for _, p := range r.Problems {
		a.printf("%s  %s", a.paint.word("broken"), clean(p.String()))
	}
	if r.Unlisted > 0 {
		a.printf("and %d more", r.Unlisted)
	}
	if r.Note != "" {
		a.notef("note: %s", clean(r.Note))
	}
	word := "broken"
	if r.Intact {
		word = "intact"
	}
	extent := fmt.Sprintf("%d records in %d files of %s", r.Records, r.Files, r.Path)
	if r.Last.Seq != 0 {
		extent += fmt.Sprintf(", records %d to %d, head %s", r.First.Seq, r.Last.Seq, r.Last.Hash)
	}
	a.printf("%s: %s", a.paint.word(word), clean(extent))
}

func (a *app) auditAcceptCommand() *cobra.Command {
	var host, reason string
	cmd := &cobra.Command{
		Use:   "accept --reason <text>",
		Short: "acknowledge the problems of the audit trail",
		Long: `A broken audit trail cannot be repaired; the collector reports it as degraded
until an operator acknowledges it. This command appends a record with the
operator's name, the time and the reason. From then on the collector is healthy
again, and audit verify lists the problems as accepted and exits with 0.

Nothing is removed. The record holds the hash of everything before it, so a
later change there breaks the trail again.

Run ironpost audit verify first and keep a copy of the folder. The daemon must
be running.`,
		Example: `  sudo ironpost audit accept --reason "disk replaced, ticket 4711"`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.auditAccept(cmd.Context(), host, reason) },
	}
	cmd.Flags().StringVar(&reason, "reason", "", "explanation for later readers (required)")
	hostFlag(cmd, &host)
	return cmd
}

func (a *app) auditAccept(ctx context.Context, host, reason string) error {
	if reason == "" {
		return usageError(errors.New("--reason is required: it tells later readers why the trail is broken"))
	}
	return a.withTimeout(ctx, a.timeout, func(ctx context.Context, conn *bus.Conn) error {
		host, err := hostOrDaemon(host, conn)
		if err != nil {
			return err
		}
		done, err := actioncollector.AcceptBreak(ctx, conn, host, actioncollector.Accept{Reason: reason})
		if err != nil {
			return fmt.Errorf("audit trail of %s: %w", host, err)
		}
		if a.json {
			return a.printJSON(done)
		}
		a.printf("%s  %s", a.paint.word("accepted"), clean(fmt.Sprintf("problems: %d, by record %d of the audit trail of %s", done.Problems, done.Seq, host)))
		return nil
	})
}
