//go:build accept && linux

package e2e_test

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

// The newest 100 of 1,000,000 alerts (fewer with IRONPOST_TEST_ALERTS) are listed within 200 ms, from the start of the command to its end.
func TestAcceptHostileHostAlertsRead(t *testing.T) {
	const runs, bar, barFiltered = 11, 200 * time.Millisecond, time.Second
	stored, err := strconv.Atoi(cmp.Or(os.Getenv("IRONPOST_TEST_ALERTS"), "1000000"))
	require.NoError(t, err)
	bin, err := build()
	require.NoError(t, err)
	b := bustest.New(t, bustest.WithModules(), bustest.WithLimits(bus.Limits{MaxStoreBytes: 12 << 30}))
	storeAlerts(t, b, stored)
	for _, c := range []struct {
		flags string
		want  int
		bar   time.Duration
	}{
		{"", 100, bar},
		{"--json", 100, bar},
		{"--severity high --json", 100, bar},               // one of ten
		{"--source 192.0.2.7 --json", 100, barFiltered},    // one of a hundred
		{"--host other --limit 10 --json", 0, bar},         // none
		{"--rule seldom --limit 3 --json", 3, barFiltered}, // one of a thousand
	} {
		var took []time.Duration
		for range runs {
			args := append([]string{"--socket", b.Socket(), "alerts", "--since", "all"}, strings.Fields(c.flags)...)
			began := time.Now()
			out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "ironpost"), args...).Output()
			took = append(took, time.Since(began))
			require.NoError(t, err)
			lines := strings.Count(string(out), "\n")
			if !strings.Contains(c.flags, "--json") {
				lines-- // the heading
			}
			require.Equal(t, c.want, lines, c.flags)
		}
		slices.Sort(took)
		t.Logf("ironpost alerts %s of %d alerts: median %v, slowest %v of %d (bar of the median %v)", c.flags, stored,
			took[runs/2].Round(time.Millisecond), took[runs-1].Round(time.Millisecond), runs, c.bar)
		require.LessOrEqual(t, took[runs/2], c.bar, c.flags)
	}
}

// storeAlerts stores n alerts, each of a series of its own.
func storeAlerts(t *testing.T, b *bustest.Bus, n int) {
	t.Helper()
	p, err := b.Conn(bus.LogPipeline).Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: b.Host()})
	require.NoError(t, err)
	const portion = 10_000
	for stored := 0; stored < n; stored += portion {
		var records []event.Record
		for i := stored; i < min(stored+portion, n); i++ {
			now := time.Now().UTC()
			a := &event.Alert{
				ID: event.ID("alert", strconv.Itoa(i)), Schema: event.Schema, TraceID: event.ID("trace", strconv.Itoa(i)), Time: now, FirstSeen: now, LastSeen: now,
				Count: 1, Module: bus.LogPipeline, Host: b.Host(), Severity: event.Low, Title: "SSH brute force from 198.51.100.9",
				Rule:     event.Rule{ID: "ssh-brute-force", Title: "SSH brute force", Level: event.Low},
				Source:   &event.Endpoint{IP: "198.51.100.9", Port: 4711},
				Evidence: []string{"Nov 30 22:41:28 web-1 sshd[4711]: Failed password for root from 198.51.100.9 port 4711 ssh2"}, DedupKey: fmt.Sprintf("key %d", i),
			}
			if i%10 == 0 {
				a.Severity = event.High
			}
			if i%100 == 0 {
				a.Source.IP = "192.0.2.7"
			}
			if i%1000 == 0 {
				a.Rule.Title = "Seldom seen"
			}
			records = append(records, a)
		}
		require.NoError(t, p.Publish(t.Context(), records...))
	}
}
