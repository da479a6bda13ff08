package logpipeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline"
)

// reload prepares and commits a reload.
func (s *running) reload(cfg logpipeline.Config) {
	s.t.Helper()
	commit, err := s.PrepareReload(s.t.Context(), cfg)
	require.NoError(s.t, err)
	commit()
}

func TestReloadChangesRulesPathsAndPorts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start()
	cfg := r.cfg
	other := r.watched + ".other"
	cfg.WatchPaths = []string{other}
	cfg.RulesPath = absolute(t, "testdata/rules/keyword.yml")
	cfg.Sources = []string{logpipeline.SourceFile, logpipeline.SourceSyslogTCP}
	cfg.SyslogTCPBind = freeAddr(t)
	cfg.MaxLineBytes = 2048
	cfg.DedupWindowSecs = 1
	appendTo(t, other, canary("before"))
	s.reload(cfg)
	conn := dial(t, "tcp", cfg.SyslogTCPBind)
	require.Eventually(t, func() bool { return s.count("rules") == 1 && s.count("files") == 1 }, patience, tick) // other is read from its end
	r.write(canary("left"))
	appendTo(t, other, failed("bob", "192.0.2.1")+canary("joined"))
	sendAll(t, conn, canary("received"))
	for _, a := range r.wait(2) {
		require.Equal(t, ruleCanary, a.Rule.ID)
		require.NotContains(t, a.Evidence[0], "left")
		require.NotContains(t, a.Evidence[0], "before")
	}
	require.Empty(t, s.Health().Reasons)
}

func TestReloadKeepsTheCountsOfUnchangedRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start()
	r.write(strings.Repeat(attempt("192.0.2.1"), 4))
	s.waitLines(4)
	dir := t.TempDir()
	copyRules(t, dir)
	require.NoError(t, os.Remove(filepath.Join(dir, "keyword.yml")))
	cfg := r.cfg
	cfg.RulesPath = dir
	s.reload(cfg)
	require.Eventually(t, func() bool { return s.count("rules") == 3 }, patience, tick)
	r.write(attempt("192.0.2.1"))
	require.Equal(t, ruleMany, r.wait(1)[0].Rule.ID)
}

func TestReloadRefusesInvalidRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start()
	cfg := r.cfg
	cfg.RulesPath = t.TempDir()
	copyRules(t, cfg.RulesPath)
	write(t, filepath.Join(cfg.RulesPath, "broken.yml"), "title: 7\n")
	_, err := s.PrepareReload(t.Context(), cfg)
	require.ErrorContains(t, err, "broken.yml:1:")
	_, err = s.PrepareReload(t.Context(), 7)
	require.ErrorContains(t, err, "int is not its configuration")
}

func TestReloadChangesFormatsAndRefusesInvalidOnes(t *testing.T) {
	t.Parallel()
	text, rule := ownFormat(t)
	r := newRig(t)
	dir := t.TempDir()
	r.cfg.RulesPath, r.cfg.ShippedRules = filepath.Join(dir, "rule.yml"), true
	require.NoError(t, os.WriteFile(r.cfg.RulesPath, []byte(rule), 0o600))
	s := r.start()
	line := "2026-11-03 15:04:05 turnstile gate=3 badge refused: user=%s from=203.0.113.9\n"
	r.write(fmt.Sprintf(line, "before"))
	s.waitLines(1)
	cfg := r.cfg
	cfg.ShippedRules, cfg.FormatsPath = false, filepath.Join(dir, "turnstile.toml")
	require.NoError(t, os.WriteFile(cfg.FormatsPath, []byte(strings.Replace(text, "^%{TIME", "^%{NOSUCH", 1)), 0o600))
	_, err := s.PrepareReload(t.Context(), cfg)
	require.ErrorContains(t, err, "turnstile.toml:5:8: grok: ")
	require.NoError(t, os.WriteFile(cfg.FormatsPath, []byte(text), 0o600))
	s.reload(cfg)
	require.Eventually(t, func() bool { return s.count("rules") == 1 }, patience, tick)
	r.write(fmt.Sprintf(line, "after"))
	alert := r.wait(1)[0]
	require.Equal(t, "after", alert.User)
	require.Equal(t, "203.0.113.9", alert.Source.IP)
}

func TestReloadsUnderLoadLoseNoLine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start()
	broken := r.cfg
	broken.RulesPath = filepath.Join(t.TempDir(), "missing")
	const lines = 2000
	for i := range lines {
		r.write(failed(fmt.Sprint("u", i), address(i)))
		if i%10 != 0 {
			continue
		}
		if i%20 == 0 {
			_, err := s.PrepareReload(t.Context(), broken)
			require.Error(t, err)
			continue
		}
		cfg := r.cfg
		cfg.BatchSize = 1 + i%100
		cfg.MaxLineBytes += i % 30
		s.reload(cfg)
	}
	alerts := r.wait(lines)
	require.Len(t, alerts, lines)
	requireOnce(t, alerts)
	require.Len(t, users(alerts), lines)
}

// A changed line length does not reset the counters.
func TestReloadOfTheLineLengthKeepsTheCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.MaxLineBytes = 2048
	s := r.start()
	r.write(strings.Repeat("x", 3000) + "\n")
	s.waitLines(1)
	cfg := r.cfg
	cfg.MaxLineBytes = 1024
	cfg.RulesPath = absolute(t, "testdata/rules/keyword.yml")
	s.reload(cfg)
	require.Eventually(t, func() bool { return s.count("rules") == 1 }, patience, tick)
	r.write(strings.TrimSpace(canary("a")) + strings.Repeat("x", 1500) + "\n")
	a := r.wait(1)[0]
	require.LessOrEqual(t, len(a.Evidence[0]), 1024)
	require.Equal(t, uint64(2), s.count("truncated"))
}

// Changed limits do not close ports or connections.
func TestReloadOfBoundsKeepsPortsAndConnections(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, conn := r.startOverTCP()
	cfg := r.cfg
	cfg.SpoolMaxBytes, cfg.MaxLineBytes = 4<<20, 1024
	s.reload(cfg)
	long := strings.TrimSpace(failed("bob", "192.0.2.1")) + strings.Repeat(" ", 1500) + "\n"
	require.Eventually(t, func() bool {
		sendAll(t, conn, long)
		return s.count("truncated") > 0
	}, patience, tick)
	require.Empty(t, s.Health().Reasons)
}
