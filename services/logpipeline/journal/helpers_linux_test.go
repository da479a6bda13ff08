package journal_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/journal"
)

// reader runs a Source and collects its entries.
type reader struct {
	*journal.Source
	got  []journal.Entry
	seen map[string]int
	stop func()
	woke chan struct{}
}

// read starts a Source on dirs, the second of which is the volatile journal.
func read(t *testing.T, saved *journal.State, maxField int, dirs ...string) *reader {
	t.Helper()
	r := &reader{seen: map[string]int{}, woke: make(chan struct{}, 1)}
	log := logrus.New()
	log.SetOutput(io.Discard)
	var err error
	r.Source, err = journal.New(journal.Config{
		Dirs: dirs, Machine: machineID(t), MaxField: maxField, Volatile: func(dir string) bool { return len(dirs) > 1 && dir == dirs[1] },
		Begun: time.Unix(1, 0), Wake: func() {
			select {
			case r.woke <- struct{}{}:
			default:
			}
		},
	}, saved, log)
	require.NoError(t, err)
	r.SetEnabled(true)
	ctx, cancel := context.WithCancel(t.Context())
	g := task.New(ctx)
	g.Go("journal", r.Run)
	stopped := false
	r.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, g.Wait())
		}
	}
	t.Cleanup(r.stop)
	return r
}

// until takes entries until done says so.
func (r *reader) until(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !done() {
		batch := r.Next(500)
		if len(batch) == 0 {
			select {
			case <-r.woke:
			case <-time.After(20 * time.Millisecond):
			case <-deadline:
				t.Fatalf("only %d entries: %+v", len(r.got), r.Stats())
			}
			continue
		}
		r.got = append(r.got, batch...)
		for _, e := range batch {
			r.seen[e.Position]++
		}
		r.Done(batch[0].Stream)
	}
}

// messages returns how often each MESSAGE was read.
func (r *reader) messages() map[string]int {
	out := map[string]int{}
	for _, e := range r.got {
		out[e.Get("MESSAGE")]++
	}
	return out
}

// idle reports whether all that is written was taken.
func (r *reader) idle() bool {
	st := r.State()
	if st == nil || !st.Looked || len(st.Files) == 0 {
		return false
	}
	for _, p := range st.Files {
		if p.Entries != p.Next {
			return false
		}
	}
	return true
}

func machineID(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(string(mustRead(t, "/etc/machine-id")))
}

// canonical returns an entry in a form that has all of it: fields sorted, with their values.
func canonical(seqnum, realtime, monotonic uint64, boot string, fields []journal.Field) string {
	lines := make([]string, 0, len(fields))
	for _, f := range fields {
		lines = append(lines, fmt.Sprintf("%s=%q", f.Name, f.Value))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%d %d %d %s\n%s", seqnum, realtime, monotonic, boot, strings.Join(lines, "\n"))
}

func (r *reader) canonical() []string {
	out := make([]string, 0, len(r.got))
	for _, e := range r.got {
		out = append(out, canonical(e.Seqnum, e.Realtime, e.Monotonic, e.Boot.String(), e.Fields))
	}
	return out
}

// exported runs journalctl, the oracle, on a folder or file and returns its entries in the form of canonical.
func exported(t *testing.T, args ...string) []string {
	t.Helper()
	var out []string
	export(t, func(entry string) { out = append(out, entry) }, args...)
	return out
}

func export(t *testing.T, each func(entry string), args ...string) {
	t.Helper()
	cmd := exec.Command("journalctl", append([]string{"-o", "export", "--all", "--no-pager", "--quiet"}, args...)...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var fields []journal.Field
	var seqnum, realtime, monotonic uint64
	boot := ""
	lines := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			require.NoError(t, cmd.Wait())
			return
		}
		require.NoError(t, err)
		line = line[:len(line)-1]
		if len(line) == 0 {
			each(canonical(seqnum, realtime, monotonic, boot, fields))
			fields, seqnum = fields[:0], 0
			continue
		}
		name, value, plain := bytes.Cut(line, []byte("="))
		if !plain { // the size, the bytes and a newline follow
			var size uint64
			require.NoError(t, binary.Read(lines, binary.LittleEndian, &size))
			value = make([]byte, size+1)
			_, err := io.ReadFull(lines, value)
			require.NoError(t, err)
			value = value[:size]
		}
		switch string(name) {
		case "__CURSOR":
			for part := range strings.SplitSeq(string(value), ";") {
				if hex, ok := strings.CutPrefix(part, "i="); ok {
					_, err := fmt.Sscanf(hex, "%x", &seqnum)
					require.NoError(t, err)
				}
			}
		case "__REALTIME_TIMESTAMP":
			_, err := fmt.Sscan(string(value), &realtime)
			require.NoError(t, err)
		case "__MONOTONIC_TIMESTAMP":
			_, err := fmt.Sscan(string(value), &monotonic)
			require.NoError(t, err)
		case "_BOOT_ID":
			boot = string(value)
			fields = append(fields, journal.Field{Name: string(name), Value: string(value)})
		default:
			if !strings.HasPrefix(string(name), "__") {
				fields = append(fields, journal.Field{Name: string(name), Value: string(value)})
			}
		}
	}
}

// write writes n messages with systemd-cat, which begin with prefix.
func write(t *testing.T, j *testenv.Journald, prefix string, n int) {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s %d\n", prefix, i)
	}
	j.Run(t, b.String(), "systemd-cat", "-t", "test")
	stored(t, j, fmt.Sprintf("%s %d\n", prefix, n-1))
}

// stored waits until journald has stored a message of the tag test.
func stored(t *testing.T, j *testenv.Journald, message string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return j.Run(t, "", "journalctl", "--quiet", "-o", "cat", "-n", "1", "-t", "test") == message
	}, 20*time.Second, 20*time.Millisecond)
	j.Run(t, "", "journalctl", "--sync")
}

// send sends an entry in the native protocol.
func send(t *testing.T, j *testenv.Journald, datagram string) {
	t.Helper()
	conn, err := net.Dial("unixgram", j.Socket())
	require.NoError(t, err)
	_, err = conn.Write([]byte(datagram))
	require.NoError(t, errors.Join(err, conn.Close()))
}
