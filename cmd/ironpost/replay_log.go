package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// logReplay is the replay of logs, one after the other: what is correlated in one goes on in the next.
type logReplay struct {
	*app

	in       *replayInput // the one that is read
	pipeline *logpipeline.Offline
	received time.Time // the time of lines without one
	maxLine  int
	table    *table
	lines    int // of this log
	alerts   int // without updates
	files    int
}

// newLogReplay returns the replay of logs by the rules and the settings of cfg, of which settings takes the place.
func (a *app) newLogReplay(cfg suite.Config, settings logpipeline.Input) (*logReplay, error) {
	pipeline, problems, err := logpipeline.NewOffline(cfg.LogPipeline, cfg.General.Host)
	if err != nil {
		return nil, err
	}
	if problems != nil {
		a.notef("warning: %s", errorText(problems))
	}
	pipeline.Override(cfg.LogPipeline, settings)
	l := &logReplay{app: a, pipeline: pipeline, maxLine: cfg.LogPipeline.MaxLineBytes}
	l.table = a.newTable([]column{{"TIME", 25}, {"SEVERITY", 8}, {"SOURCE", 39}, {"USER", 20}, {"COUNT", 6}, {"TITLE", 120}}, nil)
	return l, nil
}

// read runs one log through the rules.
func (l *logReplay) read(ctx context.Context, in *replayInput) error {
	l.in, l.lines, l.received = in, 0, in.info.ModTime()
	if !in.info.Mode().IsRegular() {
		l.received = time.Now()
	}
	path := in.name
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	l.pipeline.File(path)
	l.files++
	before := l.alerts
	err := l.readLines(ctx)
	in.clear()
	if l.files == 1 || l.lines > 0 {
		l.notef("%s: %d lines, %d alerts", clean(in.name), l.lines, l.alerts-before)
	}
	return err
}

// finish prints the last revisions of what goes on, and the totals.
func (l *logReplay) finish() {
	if l.files == 0 {
		return
	}
	l.print(l.pipeline.Close())
	c := l.pipeline.Counts()
	var formats []string
	for _, name := range slices.Sorted(maps.Keys(c.Formats)) {
		formats = append(formats, fmt.Sprintf("%s %d", name, c.Formats[name]))
	}
	l.notef("%d logs: %d lines (%s, unparsed %d), %s, %d alerts", l.files, c.Lines, cmp.Or(strings.Join(formats, ", "), "no known format"), c.Unparsed, byteSize(c.Bytes), l.alerts)
}

func (l *logReplay) readLines(ctx context.Context) error {
	for {
		text, err := readLine(l.in.reader, l.maxLine)
		if len(text) > 0 || err == nil {
			l.lines++
			l.print(l.pipeline.Line(l.in.name+":"+strconv.Itoa(l.lines), text, l.received))
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", l.in.name, err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if l.lines%1024 == 0 {
			l.in.show(strconv.Itoa(l.lines)+" lines", time.Now())
		}
	}
}

// readLine returns the next line without its newline, cut to limit bytes.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var out []byte
	for {
		part, err := r.ReadSlice('\n')
		out = append(out, part[:min(len(part), limit-len(out))]...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(out, "\r\n"), err
		}
	}
}

func (l *logReplay) print(alerts []*event.Alert) {
	for _, alert := range alerts {
		l.in.clear()
		if !alert.Update {
			l.alerts++
		}
		if l.json {
			_ = l.printJSON(alert) // run reports write errors
			continue
		}
		l.table.row([]string{
			l.time(alert.Time), alert.Severity.String(), ipOrDash(alert.Source), cmp.Or(alert.User, "-"), strconv.Itoa(alert.Count), alert.Title,
		})
	}
}
