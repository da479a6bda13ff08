package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/services/ebpfengine/capture"
	"github.com/ironpost/ironpost/services/logpipeline"
)

func (a *app) replayCommand() *cobra.Command {
	var f inputFlags
	cmd := &cobra.Command{
		Use:   "replay <file or folder>...",
		Short: "detect attacks in captures and logs",
		Long: `Reads captures (pcap, pcapng) and logs, also compressed with gzip, xz or zstd,
and shows what Ironpost would have detected. The kind of a file is recognised by
its content; - is standard input. Of a folder all files below it are read, the
oldest first, so that the generations of a log follow each other; files that are
neither text nor captures are skipped, and what cannot be read is named. Nothing
is sent to the bus, nothing is blocked.

A capture goes through the packet program of the kernel, with the clock of the
capture and the thresholds of [ebpf.detect]. That needs Linux and root. The
result is one line for each attack.

Logs go through the rules of log_pipeline.rules_path, one file after the other,
and what is counted in one goes on in the next: they are not merged by time.
That needs no privileges. The result is one line for each alert, and the totals:
lines, their formats, and how many are of no known one. The settings of
[[log_pipeline.input]] for a file hold; --format, --timezone and
--trusted-proxies take their place.

With --json every line is one record, as docs/events.md describes it: every
phase of a detection, every alert. Exits with 4 if anything was detected.`,
		Example: `  sudo ironpost replay incident.pcap
  sudo ironpost replay --json incident.pcapng | jq '.detection'
  ironpost replay /var/log/auth.log
  ironpost replay --timezone America/New_York /srv/incident/logs
  journalctl -o short | ironpost replay -`,
		Args: atLeastOneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.replay(cmd.Context(), args, f) },
	}
	f.add(cmd)
	return cmd
}

func (a *app) replay(ctx context.Context, names []string, f inputFlags) error {
	settings, err := f.input()
	if err != nil {
		return err
	}
	cfg, _, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	files, err := replayFiles(names)
	if err != nil {
		return err
	}
	r := &replayRun{app: a, cfg: cfg, settings: settings, progress: &progress{w: a.err}}
	for _, file := range files {
		r.progress.size += file.size
	}
	found, damaged := 0, 0
	for _, file := range files {
		n, err := r.file(ctx, file)
		found += n
		switch {
		case err != nil && file.found && ctx.Err() == nil: // it keeps none of the others from being read
			damaged++
			a.notef("warning: %s", clean(err.Error()))
		case err != nil:
			return err
		}
	}
	if r.logs != nil {
		r.logs.finish()
		found += r.logs.alerts
	}
	if found > 0 {
		return silentError(exitFindings, fmt.Sprintf("%d detections", found))
	}
	if damaged > 0 {
		return fmt.Errorf("%d files could not be read to their end: the warnings say which, and why", damaged)
	}
	return nil
}

// replayRun is one call of replay.
type replayRun struct {
	*app

	cfg      suite.Config
	settings logpipeline.Input
	logs     *logReplay // nil until there is a log
	progress *progress
}

// replayInput is the file being read.
type replayInput struct {
	name   string
	reader *bufio.Reader
	info   os.FileInfo
	*progress
}

// file replays one file and returns the number of attacks, of logs none: they are counted together.
func (r *replayRun) file(ctx context.Context, of replayFile) (found int, err error) {
	file := os.Stdin
	if of.name != "-" {
		if file, err = of.open(); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
	}
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	in := &replayInput{name: of.name, info: info, progress: r.progress}
	defer in.clear()
	start, done, err := in.open(file)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", of.name, err)
	}
	defer done()
	switch {
	case capture.HasMagic(start):
		return r.replayCapture(ctx, r.cfg, in)
	case of.found && bytes.IndexByte(start, 0) >= 0:
		in.clear()
		r.notef("%s: skipped, it is neither text nor a capture", clean(of.name))
		return 0, nil
	}
	if r.logs == nil {
		if r.logs, err = r.newLogReplay(r.cfg, r.settings); err != nil {
			return 0, err
		}
	}
	return 0, r.logs.read(ctx, in)
}
