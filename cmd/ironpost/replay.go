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
		Use:   "replay file…",
		Short: "what would have been found in a capture or a log",
		Long: `Reads captures (pcap, pcapng) and logs, told apart by how they begin, also
compressed with gzip, and shows what Ironpost finds in them. A capture goes through
the packet program of the kernel, with the clock of the capture, and the thresholds
of [ebpf.detect]: one line for each attack at the end. That needs Linux and root. A
log goes through the rules of log_pipeline.rules_path; that needs no rights. Nothing
is sent anywhere, and nothing is blocked.

With --json each line is one record as docs/events.md describes it: every announcement
of a detection, every alert. The file - is the standard input. Exits with 4 if there
is something.`,
		Example: `  sudo ironpost replay incident.pcap
  sudo ironpost replay --json incident.pcapng | jq '.detection'
  ironpost replay /var/log/auth.log
  ironpost replay auth.log.2.gz
  journalctl -o short | ironpost replay -`,
		Args: someArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return a.replay(cmd.Context(), args) },
	}
}

// replay judges one file after the other.
func (a *app) replay(ctx context.Context, files []string) error {
	cfg, _, err := a.load()
	if err != nil {
		return a.unreadable(err)
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
		return shown(exitFindings, fmt.Sprintf("%d findings", found))
	}
	return nil
}

// replayed is a file that is read.
type replayed struct {
	name string
	read *bufio.Reader
	info os.FileInfo
	meter
}

// open returns the first bytes of what is in the file, after gzip if that is around it (RFC 1952).
func (r *replayed) open(file io.Reader) (begin []byte, err error) {
	const buffer = 1 << 16
	r.read = bufio.NewReaderSize(io.TeeReader(file, &r.meter), buffer)
	begin, err = r.read.Peek(4)
	if bytes.HasPrefix(begin, []byte{0x1f, 0x8b}) {
		packed, bad := gzip.NewReader(r.read)
		if bad != nil {
			return nil, bad
		}
		r.read = bufio.NewReaderSize(packed, buffer)
		begin, err = r.read.Peek(4)
	}
	if errors.Is(err, io.EOF) {
		return begin, nil // a short one is a log
	}
	return begin, err
}

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
	in := &replayed{name: name, info: info, meter: meter{size: info.Size(), to: a.err}}
	defer in.clear()
	begin, err := in.open(file)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	if capture.HasMagic(begin) {
		return a.replayCapture(ctx, cfg, in)
	}
	return a.replayLog(ctx, cfg, in)
}
