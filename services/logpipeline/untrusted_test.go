package logpipeline_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/logging"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// hostileText sets colours and the window's title, clears the screen, hides and reverses text, and is not
// valid UTF-8.
const hostileText = "\x1b[31m\x1b]0;owned\x07\x1b[2J\u202e\u200b\u009b2J\x7f\xff\xfe"

// Control sequences in any part of the input reach neither the log nor the stream unescaped.
func TestControlSequencesAreEscaped(t *testing.T) {
	t.Parallel()
	for _, format := range []string{logging.JSON, logging.Pretty} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			out := &syncBuffer{}
			r := newRig(t)
			var err error
			r.log, err = logging.New(out, logging.Options{Level: "trace", Format: format})
			require.NoError(t, err)
			dir := t.TempDir()
			r.cfg.RulesPath, r.cfg.ShippedRules = "", true
			r.cfg.Sources = []string{logpipeline.SourceFile, logpipeline.SourceSyslog}
			r.cfg.WatchPaths = []string{r.watched, filepath.Join(dir, "*")}
			r.cfg.SyslogBind, r.cfg.SyslogTCPBind = freeAddr(t), freeAddr(t)
			s := r.start()
			lines := []string{
				stamp(0) + " web1 sudo: evil" + hostileText + " : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash" + hostileText,
				stamp(0) + " web1" + hostileText + " useradd[7]: new user: name=evil" + hostileText + ", UID=0, GID=0, home=/root, shell=/bin/sh",
				`192.0.2.9 - - [20/Nov/2026:10:00:00 +0000] "GET /../../etc/passwd` + hostileText + ` HTTP/1.1" 200 12 "-" "` + hostileText + `"`,
				`{"message":"` + hostileText + `","` + hostileText + `":"../../etc/passwd"}`,
				hostileText + "\x00" + strings.Repeat(hostileText, 5000),
			}
			appendTo(t, filepath.Join(dir, "app"+hostileText), strings.Join(lines, "\n")+"\n")
			r.write(strings.Join(lines, "\n") + "\n")
			udp, tcp := dial(t, "udp", r.cfg.SyslogBind), dial(t, "tcp", r.cfg.SyslogTCPBind)
			for _, line := range lines {
				sendAll(t, udp, line[:min(len(line), 60_000)])
				sendAll(t, tcp, line+"\n")
			}
			sendAll(t, tcp, "99999999999999999999 <34>x")
			s.waitLines(uint64(4 * len(lines)))
			require.Eventually(t, func() bool { return s.count("tcp_closed_framing") == 1 }, patience, tick)
			require.NotEmpty(t, r.wait(1))
			s.stop()
			requirePrintable(t, out.String())
			r.eachAlert(func(raw []byte) { requirePrintable(t, string(raw)) })
		})
	}
}

// requirePrintable checks that text consists of newlines and printable characters.
func requirePrintable(t *testing.T, text string) {
	t.Helper()
	require.NotEmpty(t, text)
	require.True(t, utf8.ValidString(text))
	for _, c := range text {
		require.True(t, c == '\n' || unicode.IsPrint(c), "%q in %q", c, text)
	}
}

// eachAlert calls fn with each alert as it is in the stream.
func (r *rig) eachAlert(fn func(raw []byte)) {
	r.t.Helper()
	require.NoError(r.t, r.admin.History(r.t.Context(), bus.Alerts, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		fn(d.Data)
		return true
	}))
}

// syncBuffer is a buffer that goroutines may write to concurrently.
type syncBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (c *syncBuffer) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.Write(p)
}

func (c *syncBuffer) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.String()
}

// Giant frames over many connections and datagrams at full speed use bounded memory; received and dropped
// messages add up to those sent. The test is not parallel because it measures the heap of the process.
func TestMemoryIsBoundedUnderAFlood(t *testing.T) {
	r := newRig(t)
	r.cfg.Sources = []string{logpipeline.SourceSyslog}
	r.cfg.SyslogBind, r.cfg.SyslogTCPBind = freeAddr(t), freeAddr(t)
	r.cfg.SpoolMaxBytes = 8 << 20
	s := r.start()
	frame := strings.Repeat("\x01", 1<<20-4)
	var wg sync.WaitGroup
	for i := range 64 {
		conn := dial(t, "tcp", r.cfg.SyslogTCPBind)
		wg.Go(func() {
			if i%2 == 0 {
				_, _ = fmt.Fprintf(conn, "%d <34>%s", 1<<20, frame)
			}
			_, _ = fmt.Fprintf(conn, "<34>%s\n", frame) // the server may have closed it
		})
	}
	udp := dial(t, "udp", r.cfg.SyslogBind)
	datagram := strings.Repeat("\x1b", 60_000)
	const datagrams = 500
	for range datagrams {
		sendAll(t, udp, datagram)
	}
	var peak uint64
	require.Eventually(t, func() bool {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
		c := s.Health().Counters
		return c["tcp_received"] == 64+32 && c["lines"] == 64+32+c["udp_received"] &&
			c["udp_received"]+c["syslog_dropped_kernel_buffer"]+c["syslog_dropped_spool_full"]+c["syslog_dropped_peer"] == datagrams
	}, longPatience, tick)
	wg.Wait()
	t.Logf("peak heap in use %d MiB, %v", peak>>20, s.Health().Counters)
	require.Less(t, peak, uint64(256<<20))
	require.Equal(t, uint64(64+32), s.count("truncated"))
}
