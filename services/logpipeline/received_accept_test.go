//go:build accept

package logpipeline_test

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline"
)

const (
	linesPerSecond = 20_000
	pace           = 5 * time.Millisecond
	canaryEvery    = 20 // turns
	// alertBar is the most time from a line that is sent to its stored alert, of 99 in 100.
	alertBar = 250 * time.Millisecond
)

// loadFor returns how long the load lasts: IRONPOST_TEST_SYSLOG_SECS, or 10 minutes.
func loadFor(t *testing.T) time.Duration {
	text := os.Getenv("IRONPOST_TEST_SYSLOG_SECS")
	if text == "" {
		return 10 * time.Minute
	}
	secs, err := strconv.Atoi(text)
	require.NoError(t, err)
	return time.Duration(secs) * time.Second
}

// sendLoad sends linesPerSecond lines by w, and a line that raises an alert now and then. It returns how many lines, and when
// each of those was sent.
func sendLoad(t *testing.T, w io.Writer, each bool, long time.Duration) (sent uint64, canaries []time.Time) {
	t.Helper()
	line := "<38>" + stamp(0) + " web1 app[1]: a line that no rule is about, as most lines are: id=%d\n"
	perTurn := int(linesPerSecond * pace / time.Second)
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for turn := 0; turn < int(long/pace); turn++ {
		<-ticker.C
		var b strings.Builder
		if turn%canaryEvery == 0 {
			canaries = append(canaries, time.Now())
			fmt.Fprintf(&b, "<38>%s web1 canary%d[1]: canary\n", stamp(0), len(canaries)-1)
			sent++
		}
		for range perTurn {
			if each && b.Len() > 0 {
				_, _ = io.WriteString(w, b.String()) // over UDP: what is refused is not sent
				b.Reset()
			}
			fmt.Fprintf(&b, line, sent)
			sent++
		}
		_, err := io.WriteString(w, b.String())
		require.NoError(t, err)
	}
	return sent, canaries
}

// TestAcceptSyslogTCP: at 20,000 lines per second no line is lost, and alerts follow their lines at once.
func TestAcceptSyslogTCP(t *testing.T) {
	r := newRig(t)
	r.cfg.Sources, r.cfg.SyslogTCPBind = []string{logpipeline.SourceSyslogTCP}, freeAddr(t)
	s := r.start()
	sent, canaries := sendLoad(t, dial(t, "tcp", r.cfg.SyslogTCPBind), false, loadFor(t))
	require.Eventually(t, func() bool { return s.count("lines") >= sent }, longPatience, tick)
	var delays []time.Duration
	err := r.admin.History(t.Context(), bus.Alerts, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		var a event.Alert
		require.NoError(t, event.Decode(d.Data, &a))
		_, rest, found := strings.Cut(strings.Join(a.Evidence, " "), " canary")
		number, _, _ := strings.Cut(rest, "[")
		if i, err := strconv.Atoi(number); found && err == nil && a.Revision == 0 {
			delays = append(delays, d.StoredAt.Sub(canaries[i]))
		}
		return true
	})
	require.NoError(t, err)
	slices.Sort(delays)
	require.Len(t, delays, len(canaries))
	p99 := delays[len(delays)*99/100]
	t.Logf("sent %d lines, lost %d (bar 0); %d alerts, from line to alert p50 %s, p99 %s (bar %s)", sent, sent-s.count("lines"), len(delays), delays[len(delays)/2], p99, alertBar)
	require.Equal(t, sent, s.count("lines"))
	require.LessOrEqual(t, p99, alertBar)
}

// TestAcceptSyslogUDP: each datagram is received, or counted as dropped with a reason.
func TestAcceptSyslogUDP(t *testing.T) {
	r := newRig(t)
	r.cfg.Sources, r.cfg.SyslogBind = []string{logpipeline.SourceSyslogUDP}, freeAddr(t)
	s := r.start()
	sent, _ := sendLoad(t, dial(t, "udp", r.cfg.SyslogBind), true, min(loadFor(t), 30*time.Second))
	dropped := func() (n uint64) {
		for name, count := range s.Health().Counters {
			if strings.HasPrefix(name, "syslog_dropped_") {
				n += count
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return s.count("udp_received")+dropped() >= sent }, patience, tick)
	t.Logf("sent %d datagrams, received %d, dropped and counted %d, neither %d (bar 0)", sent, s.count("udp_received"), dropped(), sent-s.count("udp_received")-dropped())
	require.Equal(t, sent, s.count("udp_received")+dropped())
}
