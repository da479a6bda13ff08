package logpipeline_test

import (
	"path/filepath"
	"strings"
	"testing"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

// An alert that is too large to be stored is counted as refused, neither as raised nor in the log.
func TestRefusedAlertIsNotCountedAsRaised(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	log, hook := logtest.NewNullLogger()
	r.log = log
	r.cfg.RulesPath = t.TempDir()
	copyRules(t, r.cfg.RulesPath)
	huge := "title: Huge\nid: 6f1f0a52-6f5e-4c0a-9d5e-0a2f6c2f7a99\nlogsource:\n  product: linux\ndetection:\n  keywords:\n    - canary\n" +
		"  condition: keywords\ntags:\n  - attack." + strings.Repeat("x", 100_000) + "\nlevel: low\n"
	write(t, filepath.Join(r.cfg.RulesPath, "huge.yml"), huge)
	s := r.start()
	require.Empty(t, s.Health().Reasons)
	r.write(canary("a"))
	require.Equal(t, ruleCanary, r.wait(1)[0].Rule.ID)
	require.Eventually(t, func() bool { return s.count("alerts") > 0 }, patience, tick)
	s.stop()
	require.Equal(t, uint64(1), s.count("alerts"))
	require.Equal(t, uint64(1), s.count("alerts_refused"))
	raised := 0
	for _, e := range hook.AllEntries() {
		if e.Message == "alert raised" {
			raised++
		}
	}
	require.Equal(t, 1, raised)
}
