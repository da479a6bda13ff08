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

// replayLog returns how many alerts it found, repeated ones counted as one.
func (a *app) replayLog(ctx context.Context, cfg suite.Config, in *replayed) (int, error) {
	judge, faults, err := logpipeline.NewOffline(cfg.LogPipeline, cfg.General.Host)
	if err != nil {
		return 0, err
	}
	if faults != nil {
		a.tell("warning: " + words(faults))
	}
	l := &logReplay{app: a, in: in, received: in.info.ModTime(), most: cfg.LogPipeline.MaxLineBytes}
	if !in.info.Mode().IsRegular() {
		l.received = time.Now()
	}
	l.table = a.newTable([]column{{"TIME", 25}, {"SEVERITY", 8}, {"SOURCE", 39}, {"USER", 20}, {"COUNT", 6}, {"TITLE", 120}}, nil)
	err = l.lines(ctx, judge)
	l.print(judge.Close())
	in.clear()
	a.tell(fmt.Sprintf("%s: %d lines, %d alerts", clean(in.name), l.count, l.found))
	return l.found, err
}

// logReplay is one log that is read.
type logReplay struct {
	*app

	in           *replayed
	received     time.Time
	most         int
	table        *table
	count, found int
}

func (l *logReplay) lines(ctx context.Context, judge *logpipeline.Offline) error {
	for {
		text, err := line(l.in.read, l.most)
		if len(text) > 0 || err == nil {
			l.count++
			l.print(judge.Line(l.in.name+":"+strconv.Itoa(l.count), text, l.received))
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", l.in.name, err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if l.count%1024 == 0 {
			l.in.show(strconv.Itoa(l.count)+" lines", time.Now())
		}
	}
}

// line reads one, without its newline, cut after most bytes.
func line(r *bufio.Reader, most int) ([]byte, error) {
	var out []byte
	for {
		part, err := r.ReadSlice('\n')
		out = append(out, part[:min(len(part), most-len(out))]...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(out, "\r\n"), err
		}
	}
}

func (l *logReplay) print(alerts []*event.Alert) {
	for _, alert := range alerts {
		l.in.clear()
		if !alert.Update {
			l.found++
		}
		if l.json {
			_ = l.printJSON(alert) // run returns what cannot be written
			continue
		}
		_ = l.table.row([]string{
			l.when(alert.Time), alert.Severity.String(), address(alert.Source), cmp.Or(alert.User, "-"), strconv.Itoa(alert.Count), alert.Title,
		})
	}
}
