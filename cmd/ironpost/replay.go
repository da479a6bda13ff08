package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/services/ebpfengine/capture"
)

func (a *app) replayCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "replay <file>...",
		Short: "detect attacks in a capture or a log",
		Long: `Reads captures (pcap, pcapng) and logs, also compressed with gzip, and shows
what Ironpost would have detected. The kind of a file is recognised by its
content; - is standard input. Nothing is sent to the bus, nothing is blocked.

A capture goes through the packet program of the kernel, with the clock of the
capture and the thresholds of [ebpf.detect]. That needs Linux and root. The
result is one line for each attack.

A log goes through the rules of log_pipeline.rules_path. That needs no
privileges. The result is one line for each alert.

With --json every line is one record, as docs/events.md describes it: every
phase of a detection, every alert. Exits with 4 if anything was detected.`,
		Example: `  sudo ironpost replay incident.pcap
  sudo ironpost replay --json incident.pcapng | jq '.detection'
  ironpost replay /var/log/auth.log
  ironpost replay auth.log.2.gz
  journalctl -o short | ironpost replay -`,
		Args: atLeastOneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.replay(cmd.Context(), args) },
	}
}

func (a *app) replay(ctx context.Context, files []string) error {
	cfg, _, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	found := 0
	for _, name := range files {
		n, err := a.replayFile(ctx, cfg, name)
		if err != nil {
			return err
		}
		found += n
	}
	if found > 0 {
		return silentError(exitFindings, fmt.Sprintf("%d detections", found))
	}
	return nil
}

// replayInput is the file being read.
type replayInput struct {
	name   string
	reader *bufio.Reader
	info   os.FileInfo
	progress
}

// replayFile replays one file and returns the number of attacks or alerts.
func (a *app) replayFile(ctx context.Context, cfg suite.Config, name string) (found int, err error) {
	file := os.Stdin
	if name != "-" {
		if file, err = os.Open(filepath.Clean(name)); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
	}
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if info.IsDir() {
		return 0, fmt.Errorf("%s is a folder, must be a capture or a log", name)
	}
	in := &replayInput{name: name, info: info, progress: progress{size: info.Size(), w: a.err}}
	defer in.clear()
	start, err := in.open(file)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	if capture.HasMagic(start) {
		return a.replayCapture(ctx, cfg, in)
	}
	return a.replayLog(ctx, cfg, in)
}

// open sets up the reader, with gzip (RFC 1952) removed, and returns the first
// bytes of the content.
func (r *replayInput) open(file io.Reader) (start []byte, err error) {
	const buffer = 1 << 16
	r.reader = bufio.NewReaderSize(io.TeeReader(file, &r.progress), buffer)
	start, err = r.reader.Peek(4)
	if bytes.HasPrefix(start, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(r.reader)
		if err != nil {
			return nil, err
		}
		r.reader = bufio.NewReaderSize(unzipped, buffer)
		start, err = r.reader.Peek(4)
		return start, ignoreEOF(err)
	}
	return start, ignoreEOF(err)
}

// ignoreEOF accepts a file of less than 4 bytes: it is a log.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
