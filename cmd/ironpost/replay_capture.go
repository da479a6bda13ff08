package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/ebpfengine/capture"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
	"github.com/ironpost/ironpost/services/ebpfengine/replay"
)

// maxCaptureRows is how many attacks are kept to size the columns; later ones
// are printed at once.
const maxCaptureRows = 10_000

// captureReplay is the replay of one capture.
type captureReplay struct {
	*app

	in      *replayInput
	host    string
	attacks int
	list    rows   // attacks that are not printed yet
	table   *table // nil until the rows are printed
}

// replayCapture runs a capture through the packet program and the detectors and
// returns the number of attacks.
func (a *app) replayCapture(ctx context.Context, cfg suite.Config, in *replayInput) (int, error) {
	r, err := capture.NewReader(in.reader)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", in.name, err)
	}
	interfaceName := "stdin"
	if in.name != "-" {
		interfaceName = filepath.Base(in.name)
	}
	c := &captureReplay{app: a, in: in, host: cfg.General.Host, list: rows{columns: []column{
		{"BEGAN", 25}, {"NAME", 16}, {"METHOD", 10}, {"ACTOR", 39}, {"TARGET", 47}, {"SECONDS", 9}, {"EVIDENCE", 240},
	}}}
	summary, err := replay.Run(ctx, r, replay.Options{
		Interface: interfaceName, Detect: cfg.EBPF.Detect, OnDetection: c.detected,
		OnProgress: func(frames uint64) { in.show(fmt.Sprintf("%d packets", frames), time.Now()) },
	})
	in.clear()
	if errors.Is(err, replay.ErrNoProgram) {
		return 0, fmt.Errorf("%s: the packet program cannot be loaded into the kernel; run as root, on Linux 5.15 or newer: %w", in.name, err)
	}
	c.printRows()
	a.printCaptureSummary(in.name, summary, c.attacks)
	if err != nil {
		return c.attacks, fmt.Errorf("%s: %w", in.name, err)
	}
	return c.attacks, nil
}

// detected takes one phase of a detection, or a notice, which has none. JSON shows
// every phase, the table an attack once, when it is over.
func (c *captureReplay) detected(f detect.Detection) {
	if f.Phase == detect.PhaseBegun {
		c.attacks++
	}
	switch {
	case c.json:
		c.in.clear()
		_ = c.printJSON(f.Packet(c.host)) // run reports write errors
	case f.Phase != detect.PhaseOver && f.Phase != "":
	case c.table != nil:
		c.table.row(c.attackRow(f))
	default:
		c.list.add(c.attackRow(f)...)
		if len(c.list.cells) >= maxCaptureRows {
			c.printRows()
		}
	}
}

func (c *captureReplay) printRows() {
	if len(c.list.cells) == 0 {
		return
	}
	c.in.clear()
	c.table = c.newTable(c.list.columns, c.list.cells)
	for _, cells := range c.list.cells {
		c.table.row(cells)
	}
	c.list.cells = nil
}

func (a *app) attackRow(f detect.Detection) []string {
	target := f.Target.IP
	if f.Target.Port != 0 {
		target = net.JoinHostPort(target, strconv.Itoa(int(f.Target.Port)))
	}
	return []string{
		a.time(f.Began), f.Name, cmp.Or(f.Method, "-"), f.Actor, target,
		strconv.FormatFloat(float64(f.DurationMS)/1000, 'f', 1, 64), evidence(f.TrafficFinding),
	}
}

// evidence joins the counts of a detection, and what could not be measured.
func evidence(f event.TrafficFinding) string {
	var parts []string
	for _, name := range detect.Counts() {
		if f.Counts[name] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", strings.ReplaceAll(name, "_", " "), f.Counts[name]))
		}
	}
	if f.MayBeDecoy {
		parts = append(parts, "may be a decoy")
	}
	for _, what := range f.Lacking {
		parts = append(parts, "without "+what)
	}
	return strings.Join(parts, ", ")
}

func (a *app) printCaptureSummary(name string, s replay.Summary, attacks int) {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %d packets over %s, %d attacks", clean(name), s.Capture.Frames, s.Last.Sub(s.First).Round(time.Millisecond), attacks)
	for _, count := range []struct {
		n    uint64
		what string
	}{
		{s.Malformed, "malformed"},
		{s.Short, "too short"},
		{s.Capture.Unsupported, "of an unknown link type"},
		{s.Detector.Evicted, "sources evicted"},
	} {
		if count.n > 0 {
			fmt.Fprintf(&text, ", %d %s", count.n, count.what)
		}
	}
	a.notef("%s", text.String())
	if s.Capture.Version != "" {
		a.notef("warning: %s is a pcap file of version %s, read as 2.4", clean(name), clean(s.Capture.Version))
	}
	if n := s.Capture.Reordered; n > 0 {
		a.notef("warning: in %s, %d packets are earlier than one before them; they were sorted, or, over a minute late, taken as the newest", clean(name), n)
	}
	if s.Capture.Truncated != "" {
		a.notef("warning: %s ends early: %s", clean(name), clean(s.Capture.Truncated))
	}
}
