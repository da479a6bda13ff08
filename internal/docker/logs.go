package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
)

// Docker sends a long line in parts of partSize bytes, each with a time of its own; only
// the last part ends with a newline.
const (
	partSize       = 16 << 10
	defaultMaxLine = 256 << 10
	maxFrame       = 1 << 20
)

// LogOptions chooses what Logs reads.
type LogOptions struct {
	Since   time.Time // zero: from the beginning
	Tail    int       // > 0: only that many of the last lines
	Follow  bool      // go on with new lines
	MaxLine int       // bytes of one line after which the rest is cut; 0: 256 KiB
}

// LogLine is one line a container wrote. Text has no newline and is the caller's.
type LogLine struct {
	Time      time.Time // when Docker received the line's first part
	Stream    string    // stdout or stderr; a terminal's is all stdout
	Text      []byte
	Truncated bool // more than MaxLine
}

// Logs calls fn for each line of a container's log, with the parts of long lines joined,
// until the log ends (with Follow, until the container is removed), ctx ends, or fn
// returns an error, which is returned as it is. Nothing is read while fn runs. Without
// Follow the whole call must end within 10 s. A last line without a newline counts.
// GET /containers/{id}/json, GET /containers/{id}/logs.
func (c *Client) Logs(ctx context.Context, id string, o LogOptions, fn func(LogLine) error) error {
	const what = "read logs"
	info, _, err := c.Inspect(ctx, id)
	if err != nil {
		return err
	}
	s, err := c.openTimed(ctx)
	if err != nil {
		return c.finish(ctx, s, what, err)
	}
	timed, cancel := context.WithCancel(ctx)
	if !o.Follow {
		timed, cancel = context.WithTimeout(ctx, readBudget)
	}
	defer cancel()
	body, err := s.api.ContainerLogs(timed, id, logsOptions(o))
	if err != nil {
		return c.finish(ctx, s, what, err)
	}
	defer func() { _ = body.Close() }()
	var fnErr error
	take := func(l LogLine) error {
		fnErr = fn(l)
		return fnErr
	}
	if info.TTY {
		err = readTerminal(body, o.MaxLine, take)
	} else {
		err = readFrames(body, o.MaxLine, take)
	}
	if fnErr != nil {
		return fnErr
	}
	return c.finish(ctx, s, what, err)
}

func logsOptions(o LogOptions) container.LogsOptions {
	opts := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: o.Follow, Tail: "all"}
	if !o.Since.IsZero() {
		opts.Since = unixTime(o.Since)
	}
	if o.Tail > 0 {
		opts.Tail = fmt.Sprint(o.Tail)
	}
	return opts
}

// readFrames reads a multiplexed log: frames of an 8-byte header (stream, three zeros,
// big endian length) and one part of a line with its time before it.
func readFrames(r io.Reader, maxLine int, fn func(LogLine) error) error {
	in := bufio.NewReaderSize(r, 32<<10)
	open := map[byte]*lineJoiner{1: newLineJoiner("stdout", maxLine), 2: newLineJoiner("stderr", maxLine)}
	for {
		var header [8]byte
		if _, err := io.ReadFull(in, header[:]); err != nil {
			return finishLog(err, fn, open[1], open[2])
		}
		size := binary.BigEndian.Uint32(header[4:])
		if size > maxFrame {
			return fmt.Errorf("%w: log frame of %d bytes", ErrTooLarge, size)
		}
		part := make([]byte, size)
		if _, err := io.ReadFull(in, part); err != nil {
			return fmt.Errorf("log frame is incomplete: %w", io.ErrUnexpectedEOF)
		}
		j := open[header[0]]
		if j == nil {
			return fmt.Errorf("%w: log frame of unknown stream %d", ErrServer, header[0])
		}
		at, text := cutTime(part)
		j.begin(at)
		if err := j.add(text, fn); err != nil {
			return err
		}
	}
}

// readTerminal reads the raw log of a container with a terminal: lines, with a time
// before each part of partSize bytes.
func readTerminal(r io.Reader, maxLine int, fn func(LogLine) error) error {
	in := bufio.NewReaderSize(r, 2*partSize)
	j := newLineJoiner("stdout", maxLine)
	for {
		if err := readPart(in, j, fn); err != nil {
			return finishLog(err, fn, j)
		}
	}
}

// readPart reads one part: a time, then text up to a newline or partSize bytes.
// It waits for nothing beyond that.
func readPart(in *bufio.Reader, j *lineJoiner, fn func(LogLine) error) error {
	head, err := in.Peek(timeSize)
	if len(head) == 0 {
		return err
	}
	at, text := cutTime(head)
	if _, err := in.Discard(len(head) - len(text)); err != nil {
		return err
	}
	j.begin(at)
	for left := partSize; left > 0; {
		if _, err := in.Peek(1); err != nil {
			return err
		}
		chunk, _ := in.Peek(min(in.Buffered(), left)) // what has arrived
		end := bytes.IndexByte(chunk, '\n')
		if end >= 0 {
			chunk = chunk[:end+1]
		}
		if err := j.add(chunk, fn); err != nil {
			return err
		}
		left -= len(chunk)
		if _, err := in.Discard(len(chunk)); err != nil || end >= 0 {
			return err
		}
	}
	return nil
}

// finishLog passes on lines without a newline, if the log has ended. If the connection
// broke it does not: the whole line comes with the next reading.
func finishLog(err error, fn func(LogLine) error, open ...*lineJoiner) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	var errs []error
	for _, j := range open {
		errs = append(errs, j.flush(fn))
	}
	return errors.Join(errs...)
}

// lineJoiner joins the parts of one stream to lines.
type lineJoiner struct {
	line LogLine
	max  int
	open bool
}

func newLineJoiner(stream string, maxLine int) *lineJoiner {
	if maxLine <= 0 {
		maxLine = defaultMaxLine
	}
	return &lineJoiner{line: LogLine{Stream: stream}, max: maxLine}
}

// begin starts a line, unless one is open.
func (j *lineJoiner) begin(at time.Time) {
	if !j.open {
		j.line.Time, j.open = at, true
	}
}

// add adds text, which may contain the end of the line and further lines.
func (j *lineJoiner) add(text []byte, fn func(LogLine) error) error {
	for {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		if room := j.max - len(j.line.Text); len(line) > room {
			line, j.line.Truncated = line[:room], true
		}
		j.line.Text = append(j.line.Text, line...)
		if !ended {
			return nil
		}
		at := j.line.Time
		if err := j.flush(fn); err != nil || len(rest) == 0 {
			return err
		}
		j.begin(at)
		text = rest
	}
}

func (j *lineJoiner) flush(fn func(LogLine) error) error {
	if !j.open {
		return nil
	}
	line := j.line
	j.line, j.open = LogLine{Stream: line.Stream}, false
	line.Text = bytes.TrimSuffix(line.Text, []byte("\r"))
	return fn(line)
}

// timeSize is the length of the time before a part, with its space: always UTC with nine
// digits.
const timeSize = len("2006-01-02T15:04:05.000000000Z ")

// cutTime splits off the time and the space before a part. A part without a time is all
// text.
func cutTime(part []byte) (time.Time, []byte) {
	space := bytes.IndexByte(part[:min(len(part), timeSize)], ' ')
	if space < 0 {
		return time.Time{}, part
	}
	at, err := time.Parse(time.RFC3339Nano, string(part[:space]))
	if err != nil {
		return time.Time{}, part
	}
	return at.UTC(), part[space+1:]
}
