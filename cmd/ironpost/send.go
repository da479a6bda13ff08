package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// sendPause is how long lines wait that the log pipeline has no room for, before they are offered again.
const sendPause = 500 * time.Millisecond

// maxTag is the longest APP-NAME (RFC 5424, 6).
const maxTag = 48

func (a *app) sendCommand() *cobra.Command {
	var host, tag string
	cmd := &cobra.Command{
		Use:   "send [line...]",
		Short: "give log lines to the log pipeline",
		Long: `Gives lines, each argument or else each line of standard input, to the log
pipeline, which reads them like those that it receives by syslog. It returns
when all are on the disk: they are not lost even if the daemon is killed. While
the pipeline has no room it waits.

Only operators may. The lines count as those of a known sender, never of this
machine: their alerts have the trust "peer" and the operator's name as peer.
Lines that are not of syslog need --tag, unless they are JSON. Of a line beyond
32 KiB the beginning is sent, and marked as cut.`,
		Example: `  ironpost send --tag backup "restore failed: no such archive"
  journalctl -o json -u nginx | ironpost send
  ssh web-1 cat /var/log/auth.log | ironpost send
  tail -F app.log | ironpost send --tag app
  ironpost send --json <app.log | jq .taken`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkTag(tag); err != nil {
				return usageError(err)
			}
			return a.withConn(cmd.Context(), func(ctx context.Context, conn *bus.Conn) error {
				host, err := hostOrDaemon(host, conn)
				if err != nil {
					return err
				}
				s := &sending{app: a, conn: conn, host: host, header: headerOf(tag), bar: &progress{w: a.err}}
				if err := s.run(ctx, args, cmd.InOrStdin()); err != nil || !a.json {
					return err
				}
				return a.printJSON(sentLines{s.taken})
			})
		},
	}
	cmd.Flags().StringVar(&tag, "tag", "", "`program` that the lines are of: they get a syslog\nheader with it, this host and the time")
	hostFlag(cmd, &host)
	return cmd
}

// sentLines is the --json of send.
type sentLines struct {
	Taken int `json:"taken"` // lines
}

func checkTag(tag string) error {
	if len(tag) > maxTag || strings.ContainsFunc(tag, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return fmt.Errorf("--tag %q is no name of a program: up to %d visible ASCII characters", tag, maxTag)
	}
	return nil
}

// headerOf returns what makes the header of a line (RFC 5424, 6): facility user, severity notice. It is empty without a tag.
func headerOf(tag string) func() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "-"
	}
	return func() string {
		if tag == "" {
			return ""
		}
		return fmt.Sprintf("<13>1 %s %s %s - - - ", time.Now().UTC().Format(time.RFC3339Nano), host, tag)
	}
}

// sending is one run of send. It collects lines for a request, sends them when no more are there, and stops at the first error.
type sending struct {
	*app
	conn   *bus.Conn
	host   string
	header func() string
	bar    *progress

	batch logpipeline.SendRequest
	bytes int // of the batch
	taken int
}

func (s *sending) run(ctx context.Context, args []string, stdin io.Reader) (err error) {
	defer func() {
		s.bar.clear()
		if err != nil && s.taken > 0 {
			err = fmt.Errorf("%w; %d lines before were taken", err, s.taken)
		}
	}()
	if len(args) > 0 {
		for _, line := range args {
			if err := s.add(ctx, []byte(line)); err != nil {
				return err
			}
		}
		return s.flush(ctx)
	}
	return s.readLines(ctx, stdin)
}

func (s *sending) readLines(ctx context.Context, stdin io.Reader) error {
	if file, ok := stdin.(*os.File); ok {
		if st, err := file.Stat(); err == nil && st.Mode().IsRegular() {
			s.bar.size = st.Size()
		}
	}
	reader := bufio.NewReaderSize(io.TeeReader(stdin, s.bar), logpipeline.MaxSentBytes)
	for ctx.Err() == nil {
		line, err := readLine(reader, logpipeline.MaxSentLine+1)
		if len(line) > 0 {
			if err := s.add(ctx, line); err != nil {
				return err
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the lines: %w", err)
		}
		if err != nil || reader.Buffered() == 0 {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
	return ctx.Err()
}

func (s *sending) add(ctx context.Context, line []byte) error {
	cut := len(line) > logpipeline.MaxSentLine
	text := append([]byte(s.header()), line[:min(len(line), logpipeline.MaxSentLine)]...)
	if s.bytes+len(text) > logpipeline.MaxSentBytes || len(s.batch.Lines) >= logpipeline.MaxSentLines {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	s.batch.Lines = append(s.batch.Lines, logpipeline.SentLine{Text: text, Truncated: cut})
	s.bytes += len(text)
	return nil
}

// flush sends the batch, and again while there is no room for it.
func (s *sending) flush(ctx context.Context) error {
	if len(s.batch.Lines) == 0 {
		return nil
	}
	for waiting := false; ; waiting = true {
		reply, err := s.request(ctx)
		if err != nil {
			return fmt.Errorf("%w; whether the last %d lines were taken is not known", err, len(s.batch.Lines))
		}
		if !reply.Full {
			s.taken += reply.Taken
			s.bar.show(fmt.Sprintf("%d lines", s.taken), time.Now())
			s.batch.Lines, s.bytes = s.batch.Lines[:0], 0
			return nil
		}
		if !waiting {
			s.bar.clear()
			s.notef("the log pipeline has no room, waiting: see ironpost status")
		}
		if task.Pause(ctx, sendPause); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (s *sending) request(ctx context.Context) (reply logpipeline.SendReply, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return reply, s.conn.Operate(ctx, bus.LogPipeline, s.host, logpipeline.VerbSend, s.batch, &reply)
}
