package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/services/actioncollector"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// collect runs a collector with its trail in dir, publishes n actions and waits
// until they are recorded. The caller stops it.
func collect(t *testing.T, b *bustest.Bus, dir string, n int) (stop func()) {
	t.Helper()
	for i := range n {
		publish(t, b, bus.ContainerGuard, bus.Actions, action(fmt.Sprint("action-", i), nil))
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	s, err := actioncollector.New(actioncollector.Config{AuditPath: dir}, actioncollector.Deps{Bus: b.Conn(bus.ActionCollector), Host: b.Host(), Log: log})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	require.Eventually(t, func() bool { return s.Health().Counters["trail_head"] == uint64(n) }, patience, time.Millisecond)
	return func() {
		cancel()
		require.NoError(t, <-done)
	}
}

// audited returns a bus and the folder of a trail with n actions.
func audited(t *testing.T, n int) (*bustest.Bus, string) {
	t.Helper()
	b, dir := bustest.New(t), t.TempDir()
	collect(t, b, dir, n)()
	return b, dir
}

func TestAuditVerify(t *testing.T) {
	b, dir := audited(t, 4)
	path := filepath.Join(dir, "audit.log")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	changed := bytes.Clone(whole)
	changed[len(lines[0])+200] ^= 1
	tests := []struct {
		name  string
		text  []byte
		code  int
		fault audit.Fault
		seq   uint64
	}{
		{"intact", whole, exitOK, "", 0},
		{"changed", changed, exitError, audit.Changed, 2},
		{"removed", bytes.Join([][]byte{lines[0], lines[2], lines[3]}, nil), exitError, audit.Removed, 2},
		{"swapped", bytes.Join([][]byte{lines[0], lines[2], lines[1], lines[3]}, nil), exitError, audit.Swapped, 2},
		{"doubled", bytes.Join([][]byte{lines[0], lines[1], lines[1], lines[2], lines[3]}, nil), exitError, audit.Doubled, 2},
		{"cut", bytes.Join(lines[:3], nil), exitError, audit.Cut, 4},
	}
	for _, tt := range tests {
		require.NoError(t, os.WriteFile(path, tt.text, 0o600))
		r := on(t, b, "audit", "verify", "--path", dir, "--json")
		require.Equal(t, tt.code, r.code, "%s: %s%s", tt.name, r.out, r.err)
		var got verifyResult
		require.NoError(t, json.Unmarshal([]byte(r.out), &got))
		require.Equal(t, tt.code == exitOK, got.Intact)
		require.True(t, got.Compared)
		if tt.code == exitOK {
			require.Empty(t, got.Problems)
			require.EqualValues(t, 4, got.Records)
			continue
		}
		require.Len(t, got.Problems, 1, tt.name)
		require.Equal(t, tt.fault, got.Problems[0].Fault, tt.name)
		require.Equal(t, tt.seq, got.Problems[0].Seq, tt.name)
		text := on(t, b, "audit", "verify", "--path", dir)
		require.Equal(t, exitError, text.code)
		require.Contains(t, text.out, "broken  audit.log:", tt.name)
	}
}

func TestAuditAccept(t *testing.T) {
	b, dir := bustest.New(t), t.TempDir()
	defer collect(t, b, dir, 2)()

	require.Equal(t, exitUsage, on(t, b, "audit", "accept").code)
	r := on(t, b, "audit", "accept", "--reason", "known")
	require.Equal(t, exitError, r.code)
	require.Contains(t, r.err, "the audit trail is intact")

	require.NoError(t, os.Truncate(filepath.Join(dir, "audit.log"), 0))
	require.Equal(t, exitError, on(t, b, "audit", "verify", "--path", dir).code)
	r = on(t, b, "audit", "accept", "--reason", "the tester \x1b[31mdid it")
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.out, "by record 4 of the audit trail of testhost")
	require.Eventually(t, func() bool { // the head is stored later
		r = on(t, b, "audit", "verify", "--path", dir)
		return r.code == exitOK
	}, patience, 10*time.Millisecond)
	require.Contains(t, r.out, `the tester \x1b[31mdid it (problems before it: `)
	require.NoError(t, os.Truncate(filepath.Join(dir, "audit.log"), 0))
	r = on(t, b, "audit", "accept", "--json", "--reason", "again")
	require.Contains(t, r.out, `"reason":"again"`, r.err)
}

func TestAuditVerifyWithoutDaemonWarnsAboutCutEnd(t *testing.T) {
	b, dir := audited(t, 2)
	require.Contains(t, on(t, b, "audit", "verify", "--path", dir).out, "intact: 2 records in 1 files")
	for _, args := range [][]string{{"--offline"}, {"--socket", filepath.Join(dir, "none")}} {
		r := on(t, b, append([]string{"audit", "verify", "--path", dir}, args...)...)
		require.Equal(t, exitOK, r.code, r.err)
		require.Contains(t, r.err, "an end that was cut off would not show")
	}
}
