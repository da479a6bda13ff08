package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// logReplay is the replay of one log.
type logReplay struct {
	*app

	in       *replayInput
	pipeline *logpipeline.Offline
	received time.Time // the time of lines without one
	maxLine  int
	table    *table
	lines    int
	alerts   int // without updates
}

// replayLog runs a log through the rules and returns the number of alerts,
// updates not counted.
func (a *app) replayLog(ctx context.Context, cfg suite.Config, in *replayInput) (int, error) {
	pipeline, problems, err := logpipeline.NewOffline(cfg.LogPipeline, cfg.General.Host)
	if err != nil {
		return 0, err
	}
	if problems != nil {
		a.notef("warning: %s", errorText(problems))
	}
	l := &logReplay{app: a, in: in, pipeline: pipeline, received: in.info.ModTime(), maxLine: cfg.LogPipeline.MaxLineBytes}
	if !in.info.Mode().IsRegular() {
		l.received = time.Now()
	}
	l.table = a.newTable([]column{{"TIME", 25}, {"SEVERITY", 8}, {"SOURCE", 39}, {"USER", 20}, {"COUNT", 6}, {"TITLE", 120}}, nil)
	err = l.readLines(ctx)
	l.print(pipeline.Close())
	in.clear()
	a.notef("%s: %d lines, %d alerts", clean(in.name), l.lines, l.alerts)
	return l.alerts, err
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
