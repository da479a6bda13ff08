package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// TestDamageIsToldAndLivedWith spoils a file between a crash and the next start: the daemon
// comes up, says what it found, and the next attack is an alert.
func TestDamageIsToldAndLivedWith(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		harm       func([]byte) []byte
		module     string
		says       string
	}{
		{"stored alerts", "data/bus/jetstream/IRONPOST/streams/IRONPOST_ALERTS/msgs/1.blk", flipped, bus.LogPipeline, "alerts that were stored are gone"},
		{"checkpoint", "data/log-pipeline/checkpoint.json", halved, bus.LogPipeline, "checkpoint was damaged"},
		{"audit trail", "data/audit/audit.log", func([]byte) []byte { return []byte("no record\n") }, bus.ActionCollector, "the audit trail was broken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.replace("watch_paths", "flush_interval_secs = 1\nwatch_paths")
			s.start()
			const before = 30
			for n := range before {
				s.append([]byte(rootShell(fmt.Sprintf("before%d", n))))
			}
			s.eventually(func() bool { return s.checkpointed() == before })
			s.kill()

			whole, err := os.ReadFile(s.path(tt.file))
			require.NoError(t, err)
			s.write(tt.file, string(tt.harm(whole)))
			s.start()
			s.eventually(func() bool {
				return strings.Contains(strings.Join(s.module(tt.module).Reasons, "\n"), tt.says)
			})
			s.append([]byte(rootShell("after")))
			s.eventually(func() bool {
				return slices.ContainsFunc(s.alerts(), func(a event.Alert) bool { return a.User == "after" })
			})
		})
	}
}

// checkpointed is the newest alert's sequence in the checkpoint, 0 before there is one.
func (s *stage) checkpointed() uint64 {
	s.t.Helper()
	var saved struct {
		LastSeq uint64 `json:"last_seq"`
	}
	text, err := os.ReadFile(s.path("data/log-pipeline/checkpoint.json"))
	if err != nil || json.Unmarshal(text, &saved) != nil {
		return 0
	}
	return saved.LastSeq
}

// flipped turns the bits of what is in the middle.
func flipped(whole []byte) []byte {
	harmed := slices.Clone(whole)
	for i := len(harmed) / 2; i < min(len(harmed), len(harmed)/2+64); i++ {
		harmed[i] ^= 0xff
	}
	return harmed
}

func halved(whole []byte) []byte { return whole[:len(whole)/2] }
