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
	return group("evidence", "show the evidence saved during isolation", a.evidenceShowCommand())
}

func (a *app) evidenceShowCommand() *cobra.Command {
	var host, file string
	cmd := &cobra.Command{
		Use:   "show <action or container>",
		Short: "show the evidence of an action",
		Long: `Shows what was saved after a container was frozen and disconnected: its
configuration, processes, log and changed files, each with size and SHA-256. An
action is given by its id or the beginning of the id; a container in quarantine
by its name or id.

--file writes out one of the files unchanged. Because the container wrote it,
characters that are not printable are escaped on a terminal.`,
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
	cmd.ValidArgsFunction = a.complete(a.isolatedContainers)
	cmd.Flags().StringVar(&file, "file", "", "write out this `file`")
	return cmd
}

func (a *app) evidenceShow(ctx context.Context, host, action string) error {
	var reply containerguard.EvidenceReply
	if err := a.callGuard(ctx, host, containerguard.VerbEvidence, containerguard.EvidenceRequest{Action: action}, &reply); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(reply)
	}
	var m quarantine.Manifest
	if err := json.Unmarshal(reply.Manifest, &m); err != nil {
		return fmt.Errorf("manifest of %s: %w", reply.Action, err)
	}
	a.printf("container  %s (%s), image %s", clean(m.Name), shortID(m.Container), clean(m.Image))
	a.printf("frozen     %s", a.time(m.FrozenAt))
	a.printf("collected  %s to %s", a.time(m.Began), a.time(m.Ended))
	a.printf("folder     %s", clean(reply.Directory))
	if m.Partial {
		a.printf("partial    a file is missing or truncated, see ERROR")
	}
	files := rows{columns: []column{{"FILE", 24}, {"BYTES", 12}, {"MS", 8}, {"SHA256", 64}, {"ERROR", 120}}}
	for _, p := range m.Pieces {
		files.add(p.File, strconv.FormatInt(p.Size, 10), strconv.FormatInt(p.TookMS, 10), p.SHA256, p.Error)
	}
	a.printTables(files)
	return nil
}

// evidenceFile writes one file, which the guard sends in parts.
func (a *app) evidenceFile(ctx context.Context, host, action, file string) error {
	var out io.Writer = a.out
	if isTerminal(a.out.w) {
		out = &cleanWriter{w: a.out}
	}
	for offset := int64(0); ; {
		var reply containerguard.EvidenceReply
		req := containerguard.EvidenceRequest{Action: action, File: file, Offset: offset}
		if err := a.callGuard(ctx, host, containerguard.VerbEvidence, req, &reply); err != nil {
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
