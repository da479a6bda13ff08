package logpipeline_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline"
)

func TestLineBecomesAlert(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write(failed("old", "192.0.2.99")) // from before the start: not read
	s := r.start()
	line := failed("bob", "192.0.2.1")
	r.write("noise\n" + line)
	a := r.wait(1)[0]

	require.Equal(t, ruleFailed, a.Rule.ID)
	require.Equal(t, event.Medium, a.Severity)
	require.Equal(t, []string{"attack.t1110"}, a.Rule.Tags)
	require.Equal(t, "Failed login", a.Title)
	require.Equal(t, "One failed login, for tests.", a.Description)
	require.Equal(t, logpipeline.Name, a.Module)
	require.Equal(t, r.bus.Host(), a.Host)
	require.Equal(t, "bob", a.User)
	require.Equal(t, &event.Endpoint{IP: "192.0.2.1", Port: 4242}, a.Source)
	require.Equal(t, []string{strings.TrimSuffix(line, "\n")}, a.Evidence)
	require.Equal(t, 1, a.Count)
	require.False(t, a.Update)
	require.WithinDuration(t, time.Now().Add(-2*time.Second), a.FirstSeen, 10*time.Second)
	require.Equal(t, "web1", a.LogHost)
	require.Equal(t, &event.Origin{Transport: event.TransportFile, Source: r.watched}, a.Origin)
	require.Equal(t, event.TrustUnproven, a.Trust)
	trace, err := hex.DecodeString(a.TraceID)
	require.NoError(t, err)
	require.Len(t, trace, 16)

	require.Eventually(t, func() bool { return s.count("alerts") == 1 }, patience, tick, "it is counted after it is stored")
	h := s.Health()
	require.Equal(t, event.Healthy, h.Status, "%v", h.Reasons)
	require.Equal(t, uint64(1), h.Counters["unparsed"])
}

func TestCorrelationHasItsLinesAsEvidence(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.write(strings.Repeat(attempt("192.0.2.1"), 4) + attempt("192.0.2.2") + attempt("192.0.2.1"))
	a := r.wait(1)[0]
	require.Equal(t, ruleMany, a.Rule.ID)
	require.Equal(t, event.High, a.Severity)
	require.Len(t, a.Evidence, 5)
	require.Equal(t, "192.0.2.1", a.Source.IP)
	require.Empty(t, a.User, "the lines may be of different users")
	require.Contains(t, a.Matched, event.Matched{Field: "count", Value: "5", Why: "event_count gte 5 within 1m0s"})
	require.Contains(t, a.Matched, event.Matched{Field: "src_ip", Value: "192.0.2.1", Why: "grouped by"})
	require.Len(t, r.alerts(), 1, "the counted rule raises no alert itself")
}

func TestSeriesEndsWithItsCount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.DedupWindowSecs = 1
	s := r.start()
	r.write(failed("a", "192.0.2.1") + failed("b", "192.0.2.1") + failed("c", "192.0.2.1") + failed("d", "192.0.2.2"))
	alerts := r.wait(3)
	first, update := alerts[0], alerts[2]
	require.True(t, update.Update)
	require.Equal(t, 3, update.Count)
	require.Equal(t, first.DedupKey, update.DedupKey)
	require.NotEqual(t, first.ID, update.ID)
	require.Equal(t, first.TraceID, update.TraceID)
	require.Equal(t, first.ID, update.Series)
	require.Equal(t, event.Over, update.State)
	require.Equal(t, []string{"user:a", "user:b", "user:c"}, update.Members)
	require.Equal(t, uint64(2), s.count("suppressed"))
	require.Eventually(t, func() bool { return s.count("updates") == 1 }, patience, tick, "it is counted after it is stored")
}

func TestEntitiesAreDeduplicatedSeparately(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start()
	r.write(canary("a") + canary("b") + canary("a"))
	s.waitLines(3)
	alerts := r.wait(2)
	require.Len(t, alerts, 2, "the entity of an alert without source and user is host and process")
	require.NotEqual(t, alerts[0].DedupKey, alerts[1].DedupKey)
}

// A full stream stops the reading while its consumer is stalled; after that the consumer gets every alert
// once.
func TestFullStreamStopsReadingAndLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, bustest.WithLimits(bus.Limits{MaxStoreBytes: 16 << 20}), bustest.WithModules(bus.ContainerGuard))
	s := r.start()
	const lines = 6_000 // more than the stream holds
	r.write(manyFailed(lines))
	require.Eventually(t, func() bool {
		return strings.Contains(strings.Join(s.Health().Reasons, "\n"), "alerts cannot be stored")
	}, longPatience, tick)
	at := s.count("lines")
	require.Less(t, at, uint64(lines))

	got := r.consume()
	require.Eventually(t, func() bool { return got.len() >= lines }, longPatience, tick)
	require.Equal(t, lines, got.len())
	require.Equal(t, lines, got.total())
	require.Empty(t, s.Health().Reasons)
}

func manyFailed(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s web1 sshd[77]: Failed password for u%d from %s port 4242 ssh2\n", stamp(2*time.Second), i, address(i))
	}
	return b.String()
}

// tally counts deliveries by alert id.
type tally struct {
	mu    sync.Mutex
	byID  map[string]int
	count int
}

func (c *tally) add(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID[id]++
	c.count++
}

func (c *tally) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byID)
}

func (c *tally) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// consume consumes the alerts as the guard does, and runs stream maintenance, until the test ends.
func (r *rig) consume() *tally {
	r.t.Helper()
	got := &tally{byID: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	g := task.New(ctx)
	for _, d := range r.bus.Durables() {
		if d.Stream != bus.Alerts {
			continue
		}
		conn := r.bus.Conn(d.Module)
		g.Go("guard", func(ctx context.Context) error {
			return conn.Consume(ctx, d, bus.ConsumeOptions{Host: r.bus.Host(), Log: quiet()}, func(_ context.Context, d bus.Delivery) error {
				got.add(d.ID)
				return nil
			})
		})
	}
	g.Go("maintenance", func(ctx context.Context) error {
		return r.admin.RunMaintenance(ctx, bus.MaintenanceConfig{Durables: r.bus.Durables(), Interval: 50 * time.Millisecond, Log: quiet()}, nil)
	})
	r.t.Cleanup(func() {
		cancel()
		require.NoError(r.t, g.Wait())
	})
	return got
}

func address(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255) }

func TestInvalidRuleFileIsReportedAndOthersWork(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := t.TempDir()
	copyRules(t, dir)
	write(t, filepath.Join(dir, "broken.yml"), "title: Broken\nlogsource:\n  product: linux\ndetection: 7\n")
	write(t, filepath.Join(dir, "twice.yml"), readText(t, filepath.Join(dir, "keyword.yml")))
	r.cfg.RulesPath = dir
	s := r.start()
	h := s.Health()
	require.Equal(t, event.Degraded, h.Status)
	require.Regexp(t, `2 rule files not loaded, among them .*broken\.yml:\d+:\d+: `, strings.Join(h.Reasons, "\n"))
	r.write(failed("bob", "192.0.2.1"))
	r.wait(1)
}

func copyRules(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/rules")))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func readText(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(raw)
}

// While the rules cannot be read no line is processed, and none is skipped.
func TestLinesWaitForMissingRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.RulesPath = filepath.Join(t.TempDir(), "missing")
	s := r.start()
	require.Equal(t, event.Degraded, s.Health().Status)
	require.Contains(t, strings.Join(s.Health().Reasons, "\n"), "rules_path: stat "+r.cfg.RulesPath)
	r.write(failed("bob", "192.0.2.1"))
	s.stop()
	r.write(failed("eve", "192.0.2.2"))
	s = r.launch()
	<-s.Started()
	copyRules(t, r.cfg.RulesPath+".new")
	require.NoError(t, os.Rename(r.cfg.RulesPath+".new", r.cfg.RulesPath))
	require.Len(t, r.wait(2), 2)
	require.Equal(t, event.Healthy, s.Health().Status, "%v", s.Health().Reasons)
}

func TestAttackersOfARealOpenSSHLogAreFound(t *testing.T) {
	t.Parallel()
	raw := readText(t, testenv.Data(t, "loghub/OpenSSH/OpenSSH_2k.log"))
	r := newRig(t)
	s := r.start()
	r.write(raw + "\n")
	s.waitLines(2000)
	s.stop()
	attackers := map[string]bool{}
	for _, a := range ofRule(r.alerts(), ruleFailed) {
		attackers[a.Source.IP] = true
	}
	require.Equal(t, failedSources(raw), attackers)
	requireOnce(t, r.alerts())
}

// failedSources finds the addresses independently: the word before "port" in each line with "Failed password".
func failedSources(raw string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(raw) {
		if !strings.Contains(line, "Failed password for") {
			continue
		}
		words := strings.Fields(line)
		for i, w := range words {
			if w == "port" {
				out[words[i-1]] = true
			}
		}
	}
	return out
}

func TestMetricsAreRegisteredWhileTheServiceRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start()
	r.write(failed("bob", "192.0.2.1"))
	r.wait(1)
	require.Eventually(t, func() bool { return metric(t, r, "ironpost_log_pipeline_alerts_total") == 1 }, patience, tick)
	s.stop()
	families, err := r.metrics.Gather()
	require.NoError(t, err)
	require.Empty(t, families)
	r.start()
}

func metric(t *testing.T, r *rig, name string) float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return -1
}

func TestHealthIsStartingUntilTheSourcesAreOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.build().Health()
	require.Equal(t, event.Degraded, h.Status)
	require.Equal(t, []string{"starting"}, h.Reasons)
	s := r.start()
	require.Equal(t, event.Healthy, s.Health().Status, "%v", s.Health().Reasons)
}
