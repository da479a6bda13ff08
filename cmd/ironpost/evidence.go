package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

func (a *app) evidenceCommand() *cobra.Command {
	return group("evidence", "what was kept of a container before it could change", a.evidenceShowCommand())
}

func (a *app) evidenceShowCommand() *cobra.Command {
	var host, file string
	cmd := &cobra.Command{
		Use:   "show <action or container>",
		Short: "show the evidence of an action",
		Long: `Shows what was kept when a container was frozen: how it was configured, its processes,
its log, the files it changed, each with its size and SHA-256. An action is named by its id
or the beginning of it; a container that is held, by its name or id.

With --file the content of one of them is written out as it is. It is what the container
wrote, so on a terminal what is not printable is shown as an escape.`,
		Example: `  ironpost evidence show web-1
  ironpost evidence show 8261825108f1 --file logs.jsonl | jq -r .text`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				return a.evidenceFile(cmd.Context(), host, args[0], file)
			}
			return a.evidenceShow(cmd.Context(), host, args[0])
		},
	}
	hostFlag(cmd, &host)
	cmd.Flags().StringVar(&file, "file", "", "write out the content of this `file`")
	return cmd
}

func (a *app) evidenceShow(ctx context.Context, host, action string) error {
	var reply containerguard.EvidenceReply
	if err := a.askGuard(ctx, host, containerguard.VerbEvidence, containerguard.EvidenceRequest{Action: action}, &reply); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(reply)
	}
	var m quarantine.Manifest
	if err := json.Unmarshal(reply.Manifest, &m); err != nil {
		return fmt.Errorf("manifest of %s: %w", reply.Action, err)
	}
	a.line(fmt.Sprintf("%s (%s), image %s", clean(m.Name), briefID(m.Container), clean(m.Image)))
	a.line("frozen " + a.when(m.FrozenAt) + ", evidence from " + a.when(m.Began) + " to " + a.when(m.Ended))
	a.line("in " + clean(reply.Directory))
	if m.Partial {
		a.line("partial: a piece is missing or cut")
	}
	rows := make([][]string, 0, len(m.Pieces))
	for _, p := range m.Pieces {
		rows = append(rows, []string{p.File, strconv.FormatInt(p.Size, 10), strconv.FormatInt(p.TookMS, 10), p.SHA256, p.Error})
	}
	return a.printTable([]column{{"FILE", 24}, {"BYTES", 12}, {"MS", 8}, {"SHA256", 64}, {"ERROR", 120}}, rows)
}

// evidenceFile writes a file part by part.
func (a *app) evidenceFile(ctx context.Context, host, action, file string) error {
	var out io.Writer = a.out
	if terminal(a.out.w) {
		out = &cleaner{w: a.out}
	}
	for offset := int64(0); ; {
		var reply containerguard.EvidenceReply
		req := containerguard.EvidenceRequest{Action: action, File: file, Offset: offset}
		if err := a.askGuard(ctx, host, containerguard.VerbEvidence, req, &reply); err != nil {
			return err
		}
		if _, err := out.Write(reply.Data); err != nil {
			return err
		}
		if reply.Next <= offset {
			return nil
		}
		offset = reply.Next
	}
}
