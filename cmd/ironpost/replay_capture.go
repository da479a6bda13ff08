package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// replayCapture returns how many attacks it found.
func (a *app) replayCapture(ctx context.Context, cfg suite.Config, in *replayed) (int, error) {
	r, err := capture.NewReader(in.read)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", in.name, err)
	}
	c := &captureReplay{app: a, in: in, host: cfg.General.Host}
	summary, err := replay.Run(ctx, r, replay.Options{
		Interface: in.label(), Detect: cfg.EBPF.Detect, OnDetection: c.found,
		OnProgress: func(frames uint64) { in.show(fmt.Sprintf("%d packets", frames), time.Now()) },
	})
	in.clear()
	if errors.Is(err, replay.ErrNoProgram) {
		return 0, fmt.Errorf("%s: a capture is judged by the packet program in the kernel; try as root, on Linux 5.15 or newer: %w", in.name, err)
	}
	c.flush()
	a.tellCapture(in.name, summary, c.attacks)
	if err != nil {
		return c.attacks, fmt.Errorf("%s: %w", in.name, err)
	}
	return c.attacks, nil
}

// label stands for the interface in records.
func (r *replayed) label() string {
	if r.name == "-" {
		return "stdin"
	}
	return filepath.Base(r.name)
}

// maxRows is how many attacks are kept so that columns fit; more are shown as they come.
const maxRows = 10_000

// captureReplay shows what is found in one capture.
type captureReplay struct {
	*app

	in      *replayed
	host    string
	attacks int
	rows    [][]string
	table   *table
}

// found takes an announcement. Text shows an attack once, with the sums of all of it.
func (c *captureReplay) found(f detect.Detection) {
	if f.Phase == detect.PhaseBegun {
		c.attacks++
	}
	switch {
	case c.json:
		c.in.clear()
		_ = c.printJSON(f.Packet(c.host)) // run returns what cannot be written
	case f.Phase != detect.PhaseOver:
	case c.table != nil:
		_ = c.table.row(c.attackRow(f))
	default:
		c.rows = append(c.rows, c.attackRow(f))
		if len(c.rows) >= maxRows {
			c.flush()
		}
	}
}

// flush shows the rows that are kept.
func (c *captureReplay) flush() {
	if len(c.rows) == 0 {
		return
	}
	c.in.clear()
	c.table = c.newTable([]column{
		{"BEGAN", 25}, {"NAME", 16}, {"METHOD", 10}, {"ACTOR", 39}, {"TARGET", 47}, {"SECONDS", 9}, {"EVIDENCE", 240},
	}, c.rows)
	for _, row := range c.rows {
		_ = c.table.row(row)
	}
	c.rows = nil
}

func (a *app) attackRow(f detect.Detection) []string {
	return []string{
		a.when(f.Began), f.Name, cmp.Or(f.Method, "-"), f.Actor, target(f.Target),
		strconv.FormatFloat(float64(f.DurationMS)/1000, 'f', 1, 64), evidence(f.TrafficFinding),
	}
}

func target(e event.Endpoint) string {
	switch {
	case e.Port == 0:
		return e.IP
	case strings.Contains(e.IP, ":"):
		return fmt.Sprintf("[%s]:%d", e.IP, e.Port)
	}
	return fmt.Sprintf("%s:%d", e.IP, e.Port)
}

// evidence is the counts on one line, and what is lacking.
func evidence(f event.TrafficFinding) string {
	var words []string
	for _, name := range detect.Counts() {
		if f.Counts[name] > 0 {
			words = append(words, fmt.Sprintf("%s %d", strings.ReplaceAll(name, "_", " "), f.Counts[name]))
		}
	}
	for _, what := range f.Lacking {
		words = append(words, "without "+what)
	}
	return strings.Join(words, ", ")
}

// tellCapture says what was read, beside the results.
func (a *app) tellCapture(name string, s replay.Summary, attacks int) {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %d packets over %s, %d attacks", clean(name), s.Capture.Frames, s.Last.Sub(s.First).Round(time.Millisecond), attacks)
	for _, odd := range []struct {
		n    uint64
		what string
	}{
		{s.Malformed, "malformed"},
		{s.Short, "too short"},
		{s.Capture.Unsupported, "of an unknown link type"},
		{s.Capture.ClockJumps, "times the clock went back"},
		{s.Detector.Evicted, "sources forgotten"},
	} {
		if odd.n > 0 {
			fmt.Fprintf(&text, ", %d %s", odd.n, odd.what)
		}
	}
	a.tell(text.String())
	if s.Capture.Truncated != "" {
		a.tell(fmt.Sprintf("warning: %s ends early: %s", clean(name), clean(s.Capture.Truncated)))
	}
}
