package syslog_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() logrus.FieldLogger {
	log, _ := test.NewNullLogger()
	return log
}

// rig is a running Server and a Tailer that reads its spool.
type rig struct {
	t    testing.TB
	cfg  syslog.Config
	srv  *syslog.Server
	tail *tail.Tailer
	stop func()
}

func newRig(t testing.TB, change func(*syslog.Config)) *rig {
	r := &rig{t: t, cfg: syslog.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", Dir: filepath.Join(t.TempDir(), "spool"), RetryInterval: 10 * time.Millisecond}}
	if change != nil {
		change(&r.cfg)
	}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *rig) start() {
	srv, err := syslog.New(r.cfg, quiet())
	require.NoError(r.t, err)
	tl, err := tail.New(tail.Config{Spools: []string{srv.SpoolPattern()}, Poll: 5 * time.Millisecond}, nil, quiet())
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	r.srv, r.tail = srv, tl
	r.stop = func() {
		cancel()
		require.NoError(r.t, <-done)
		require.NoError(r.t, tl.Close())
		r.stop = func() {}
	}
	require.Eventually(r.t, func() bool {
		udp, tcp := srv.Addrs()
		return (udp != nil || r.cfg.UDP == "") && (tcp != nil || r.cfg.TCP == "") && (r.cfg.TLS == "" || srv.Addr(syslog.TLS) != nil)
	}, 5*time.Second, time.Millisecond)
}

func (r *rig) dial(network string) net.Conn {
	udp, tcp := r.srv.Addrs()
	addr := tcp
	if network == "udp" {
		addr = udp
	}
	c, err := net.Dial(network, addr.String())
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
}

// read returns the next n messages of the spool.
func (r *rig) read(n int) (msgs []string) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	for len(msgs) < n {
		lines, err := r.tail.Next(ctx, 1000)
		require.NoError(r.t, err, "after %d messages", len(msgs))
		for _, line := range lines {
			require.True(r.t, r.srv.IsSpoolFile(line.Path))
			rec, err := syslog.DecodeRecord(line.Text)
			require.NoError(r.t, err)
			require.NotEmpty(r.t, rec.Peer)
			msgs = append(msgs, string(rec.Message))
		}
		r.tail.Done(lines)
	}
	return msgs
}

func TestMessagesReachTheSpool(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.dial("tcp")
	send(t, c, "<34>one\n7 <34>two<34>thr\xffee\x00")
	require.Equal(t, []string{"<34>one", "<34>two", "<34>thr\xffee"}, r.read(3))
	u := r.dial("udp")
	send(t, u, "<34>four\n")
	send(t, u, "<34>"+strings.Repeat("x", 60000))
	got := r.read(2)
	require.Equal(t, "<34>four", got[0])
	require.Len(t, got[1], 60004)
	require.Eventually(t, func() bool { s := r.srv.Stats(); return s.Received[syslog.UDP] == 2 && s.Received[syslog.TCP] == 3 }, time.Second, time.Millisecond)
}

// The folder of a new spool is watched: the first message is read without a poll.
func TestFirstMessageIsReadAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.srv.CreateDir()
	tl, err := tail.New(tail.Config{Spools: []string{r.srv.SpoolPattern()}, Poll: time.Hour}, nil, quiet())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tl.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended, end := context.WithCancel(ctx)
	end()
	_, err = tl.Next(ended, 1)
	require.ErrorIs(t, err, context.Canceled)
	send(t, r.dial("tcp"), "<34>one\n")
	lines, err := tl.Next(ctx, 1)
	require.NoError(t, err)
	require.Contains(t, string(lines[0].Text), "<34>one")
}

// A datagram may have an octet count, or several lines.
func TestMessagesOfADatagram(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.dial("udp")
	send(t, c, "35 <13>Nov 29 20:00:00 h u5[1]: MARKER")
	require.Equal(t, []string{"<13>Nov 29 20:00:00 h u5[1]: MARKER"}, r.read(1))
	send(t, c, "<13>a\n<13>b\r\n\n<13>c")
	require.Equal(t, []string{"<13>a", "<13>b", "<13>c"}, r.read(3))
	send(t, c, "99999999 <13>d")
	require.Equal(t, []string{"99999999 <13>d"}, r.read(1))
	send(t, c, "7 <13>ef")
	require.Equal(t, []string{"<13>ef"}, r.read(1))
	send(t, c, "\n")
	require.Eventually(t, func() bool { return r.srv.Stats().Dropped[syslog.DropEmpty] == 1 }, time.Second, time.Millisecond)
	require.EqualValues(t, 6, r.srv.Stats().Received[syslog.UDP])
}

// A sender that counts one octet too many is understood, and told of.
func TestWrongOctetCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.dial("tcp")
	send(t, c, "36 <13>Nov 29 20:00:00 h w0[1]: MARKER36 <13>Nov 29 20:00:00 h w1[1]: MARKER36 <13>Nov 29 20:00:00 h w2[1]: MARKER")
	require.Equal(t, []string{"<13>Nov 29 20:00:00 h w0[1]: MARKER", "<13>Nov 29 20:00:00 h w1[1]: MARKER", "<13>Nov 29 20:00:00 h w2[1]: MARKER"}, r.read(3))
	require.Eventually(t, func() bool { return r.srv.Stats().Miscounted == 3 }, time.Second, time.Millisecond)
	require.Contains(t, r.srv.Stats().Remarks[0], "octet counts of syslog messages were wrong")
}

// A message of the largest size, of bytes that take the most room in JSON, is one line.
func TestLargestMessageIsOneLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	msg := strings.Repeat("\x01", syslog.DefaultMaxMessage)
	send(t, r.dial("tcp"), msg+"\n")
	require.Equal(t, []string{msg}, r.read(1))
}

func TestConsumedSegmentsAreDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *syslog.Config) { c.SegmentBytes = 1000 })
	c := r.dial("tcp")
	for i := range 100 {
		send(t, c, fmt.Sprintf("<34>message %d\n", i))
		require.Equal(t, []string{fmt.Sprintf("<34>message %d", i)}, r.read(1))
	}
	before := r.srv.Stats()
	require.Greater(t, before.SpoolFiles, 5)
	r.srv.DeleteConsumed(r.tail.State())
	after := r.srv.Stats()
	require.Equal(t, 1, after.SpoolFiles)
	left, err := filepath.Glob(filepath.Join(r.cfg.Dir, "*"))
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestFullSpoolMakesTCPWaitAndDropsUDP(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *syslog.Config) { c.MaxBytes = 4000 })
	c := r.dial("tcp")
	const n = 500
	sent := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < n && err == nil; i++ {
			_, err = fmt.Fprintf(c, "<34>message %d\n", i)
		}
		sent <- err
	}()
	require.Eventually(t, func() bool { return !r.srv.Stats().BlockedSince.IsZero() }, 5*time.Second, time.Millisecond)
	u := r.dial("udp")
	require.Eventually(t, func() bool {
		send(t, u, "<34>lost")
		return r.srv.Stats().Dropped[syslog.DropSpool] > 0
	}, 5*time.Second, time.Millisecond)
	require.NotEmpty(t, r.srv.Stats().Reasons)
	require.LessOrEqual(t, r.srv.Stats().SpoolBytes, int64(4000))
	var got []string
	for len(got) < n {
		for _, m := range r.read(1) {
			if m != "<34>lost" {
				got = append(got, m)
			}
		}
		r.srv.DeleteConsumed(r.tail.State())
	}
	require.NoError(t, <-sent)
	for i, m := range got {
		require.Equal(t, fmt.Sprintf("<34>message %d", i), m)
	}
	require.Contains(t, strings.Join(r.srv.Stats().Reasons, "\n"), "; the most, ")
	require.Contains(t, strings.Join(r.srv.Stats().Reasons, "\n"), " of udp-127.0.0.1", "what was dropped is a reason for a while")
	require.Eventually(t, func() bool { s := r.srv.Stats(); return s.BlockedSince.IsZero() && len(s.Reasons) == 1 }, 5*time.Second, time.Millisecond)
}

func TestHalfWrittenLineIsNotJoinedWithTheNext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "spool-00000007.log"), []byte(`{"received":"2026-11-23T10:00:00Z","peer":"p","transport":"tcp","message":"whole"}`+"\n"+`{"received":"2026`), 0o600))
	r := newRig(t, func(c *syslog.Config) { c.Dir = dir })
	send(t, r.dial("tcp"), "<34>next\n")
	require.ElementsMatch(t, []string{"whole", "<34>next"}, r.read(2))
	require.Eventually(t, func() bool { // once the next file of its sequence is seen
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := r.tail.Next(ctx, 1)
		r.srv.DeleteConsumed(r.tail.State())
		return err != nil && r.tail.Stats().Lost[tail.LostTorn] == 17 && r.srv.Stats().SpoolFiles == 1
	}, 5*time.Second, time.Millisecond)
}

// A byte now and then does not keep a connection open, and a half line is no message.
func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *syslog.Config) { c.IdleTimeout = 300 * time.Millisecond })
	r.dial("tcp")
	b := r.dial("tcp")
	go func() {
		for range 1000 {
			if _, err := b.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	require.Eventually(t, func() bool { return r.srv.Stats().Closed[syslog.CloseIdle] == 2 }, 5*time.Second, time.Millisecond)
}

// dialTCPFrom connects from an address of this host.
func (r *rig) dialTCPFrom(address string) net.Conn {
	_, tcp := r.srv.Addrs()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c, err := d.DialContext(r.t.Context(), "tcp", tcp.String())
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// says sends a message and waits until it is received.
func (r *rig) says(c net.Conn, text string) {
	r.t.Helper()
	send(r.t, c, "<34>"+text+"\n")
	require.Equal(r.t, []string{"<34>" + text}, r.read(1))
}

func isClosed(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

// Whoever holds places keeps nobody out: of the peer with the most connections the one that was idle longest gives way.
func TestIdlestConnectionGivesWay(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *syslog.Config) { c.MaxConns, c.MaxConnsPerPeer = 6, 4 })
	quiet := r.dialTCPFrom("127.0.0.2")
	r.says(quiet, "quiet")
	var holders []net.Conn
	for i := range 5 {
		holders = append(holders, r.dialTCPFrom("127.0.0.3"))
		r.says(holders[i], fmt.Sprint("holder ", i))
	}
	require.True(t, isClosed(holders[0]), "the fifth of one peer: the idlest of that peer")
	r.says(r.dialTCPFrom("127.0.0.4"), "other") // six are open now
	r.says(holders[1], "still here")
	newcomer := r.dialTCPFrom("127.0.0.5")
	r.says(newcomer, "newcomer")
	require.True(t, isClosed(holders[2]), "idler than the one that spoke")
	r.says(quiet, "the idlest of all, but the only one of its peer")
	require.Equal(t, int64(1), r.srv.Stats().Closed[syslog.ClosePeerLimit])
	require.Equal(t, int64(1), r.srv.Stats().Closed[syslog.CloseLimit])
	require.Equal(t, 6, r.srv.Stats().Connections)
	require.Contains(t, strings.Join(r.srv.Stats().Remarks, " "), "syslog connections gave way to new ones")

	require.NoError(t, r.srv.SetLimits(syslog.Config{Dir: r.cfg.Dir, MaxConns: 2}))
	r.says(r.dialTCPFrom("127.0.0.6"), "after the reload")
	require.Equal(t, 2, r.srv.Stats().Connections)
}

// Connections that gave way while they waited for room in the spool are gone, so that their number is bounded.
func TestConnectionThatGaveWayDoesNotWait(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *syslog.Config) { c.MaxBytes, c.MaxConnsPerPeer, c.RetryInterval = 4000, 1, time.Hour })
	full := strings.Repeat("<34>message\n", 300)
	for i := range 5 {
		send(t, r.dial("tcp"), full)
		require.Eventually(t, func() bool {
			st := r.srv.Stats()
			return !st.BlockedSince.IsZero() && st.Closed[syslog.ClosePeerLimit] == int64(i)
		}, 5*time.Second, time.Millisecond)
	}
	require.Eventually(t, func() bool { return r.srv.Stats().Dropped[syslog.DropEvicted] > 0 }, 5*time.Second, time.Millisecond)
	require.Equal(t, 1, r.srv.Stats().Connections)
}

func TestImpossibleFrameLengthClosesTheConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.dial("tcp")
	send(t, c, "<34>a\n100000000000000000000 <34>b")
	_, err := io.ReadAll(c)
	require.True(t, err == nil || strings.Contains(err.Error(), "reset"))
	require.Equal(t, []string{"<34>a"}, r.read(1))
	require.Equal(t, int64(1), r.srv.Stats().Closed[syslog.CloseFraming])
}

func TestTakenPortIsRetriedAndRebindKeepsTheOtherPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := newRig(t, nil)
	c := r.dial("udp")
	_, before := r.srv.Addrs()
	require.NotNil(t, before)
	udp, _ := r.srv.Addrs()
	require.Error(t, r.srv.Rebind(syslog.Config{Dir: r.cfg.Dir, UDP: "nowhere"}))
	require.NoError(t, r.srv.Rebind(syslog.Config{Dir: r.cfg.Dir, UDP: r.cfg.UDP, TCP: taken.Addr().String()}))
	require.Eventually(t, func() bool { return len(r.srv.Stats().Reasons) == 1 }, 5*time.Second, time.Millisecond)
	require.Contains(t, r.srv.Stats().Reasons[0], "another program has it")
	same, _ := r.srv.Addrs()
	require.Equal(t, udp, same)
	send(t, c, "<34>still here")
	require.Equal(t, []string{"<34>still here"}, r.read(1))
	require.NoError(t, taken.Close())
	require.Eventually(t, func() bool { _, tcp := r.srv.Addrs(); return tcp != nil }, 5*time.Second, time.Millisecond)
	require.Empty(t, r.srv.Stats().Reasons)
}

// A sender that fills its share of the spool leaves room for others, and its messages are read in turn with theirs.
func TestSendersHaveSharesOfTheSpool(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *syslog.Config) { c.UDP, c.TCP, c.MaxBytes = "127.0.0.1:0", "", 20_000 })
	flood, quietSender := r.dialFrom("127.0.0.2"), r.dialFrom("127.0.0.3")
	require.Eventually(t, func() bool {
		send(t, flood, "<34>flood")
		stats := r.srv.Stats()
		return stats.Dropped[syslog.DropSpool] > 0 && strings.Contains(strings.Join(stats.Reasons, "\n"), "udp-127.0.0.2")
	}, 5*time.Second, time.Microsecond)
	for i := range 5 {
		send(t, quietSender, fmt.Sprintf("<34>quiet %d", i))
	}
	require.Eventually(t, func() bool {
		quietBytes := int64(0)
		files, err := filepath.Glob(filepath.Join(r.cfg.Dir, "spool-udp-127.0.0.3-*"))
		require.NoError(t, err)
		for _, path := range files {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			quietBytes += int64(strings.Count(string(text), "\n"))
		}
		return quietBytes == 5
	}, 5*time.Second, time.Millisecond)
	lines := 0
	for range 3 { // chunks: the flood is first by name
		chunk, err := r.tail.Next(t.Context(), 10)
		require.NoError(t, err)
		if strings.Contains(chunk[0].Path, "127.0.0.3") {
			lines += len(chunk)
		}
		r.tail.Done(chunk)
	}
	require.Equal(t, 5, lines)
}

// A sender that is dropped for want of room does not begin a segment with each message that fits, and once its messages are read it
// has room again at once.
func TestSenderWithoutRoomBeginsNoSegments(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *syslog.Config) { c.TCP, c.MaxBytes = "", 20_000 })
	c := r.dial("udp")
	long, short := "<34>"+strings.Repeat("x", 2000), "<34>short"
	require.Eventually(t, func() bool {
		send(t, c, long)
		return r.srv.Stats().Dropped[syslog.DropSpool] > 0
	}, 5*time.Second, time.Microsecond)
	before := r.srv.Stats()
	handled := func() uint64 {
		st := r.srv.Stats()
		return uint64(st.Received[syslog.UDP]) + uint64(st.Dropped[syslog.DropSpool])
	}
	for range 10 { // alternately one that may fit and one that does not
		for _, message := range []string{short, long} {
			before := handled()
			send(t, c, message)
			require.Eventually(t, func() bool { return handled() > before }, 5*time.Second, time.Millisecond)
		}
	}
	after := r.srv.Stats()
	require.LessOrEqual(t, after.SpoolFiles, before.SpoolFiles+1)
	r.read(int(after.Received[syslog.UDP]))
	r.srv.DeleteConsumed(r.tail.State())
	require.Zero(t, r.srv.Stats().SpoolFiles)
}

// Beyond their number senders share one sequence; segments of earlier versions are read and deleted.
func TestSendersAreBoundedAndOldSegmentsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	record := `{"received":"2026-11-23T10:00:00Z","peer":"192.0.2.1:7","transport":"tcp","message":"%s"}` + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "spool-00000007.log"), fmt.Appendf(nil, record, "old"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "spool-00000008.log"), fmt.Appendf(nil, record, "older version"), 0o600))
	r := newRig(t, func(c *syslog.Config) { c.Dir = dir })
	for i := range 70 {
		send(t, r.dialFrom(fmt.Sprintf("127.0.1.%d", i)), fmt.Sprintf("<34>%d", i))
	}
	require.Subset(t, r.read(72), []string{"old", "older version", "<34>0", "<34>69"})
	r.srv.DeleteConsumed(r.tail.State())
	left, err := filepath.Glob(filepath.Join(dir, "spool-*"))
	require.NoError(t, err)
	require.Len(t, left, 65, "%v", left)
	require.Contains(t, strings.Join(left, "\n"), "spool-udp-others-")
}

// dialFrom sends over UDP from an address of this machine.
func (r *rig) dialFrom(address string) net.Conn {
	udp, _ := r.srv.Addrs()
	c, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(address)}}).Dial("udp", udp.String())
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}
