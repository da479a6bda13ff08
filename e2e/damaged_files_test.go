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

// A file is damaged between a crash and the next start: the daemon starts, reports the
// damage, and the next attack is an alert.
func TestDamagedFilesAreReportedAndSurvived(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		damage     func([]byte) []byte
		module     string
		reason     string // in its health
	}{
		{"stored alerts", "data/bus/jetstream/IRONPOST/streams/IRONPOST_ALERTS/msgs/1.blk", flipBits, "bus", "the stream IRONPOST_ALERTS was damaged"},
		{"checkpoint", "data/log-pipeline/checkpoint.json", firstHalf, bus.LogPipeline, "checkpoint was damaged"},
		{"audit trail", "data/audit/audit.log", func([]byte) []byte { return []byte("not a record\n") }, bus.ActionCollector, "the audit trail was broken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newInstance(t)
			s.replace("watch_paths", "checkpoint_interval_secs = 1\nwatch_paths")
			s.start()
			const before = 30
			for n := range before {
				s.append([]byte(rootShell(fmt.Sprintf("before%d", n))))
			}
			s.eventually(func() bool { return s.checkpointed() == before })
			s.kill()

			whole, err := os.ReadFile(s.path(tt.file))
			require.NoError(t, err)
			s.write(tt.file, string(tt.damage(whole)))
			s.start()
			s.eventually(func() bool {
				return strings.Contains(strings.Join(s.module(tt.module).Reasons, "\n"), tt.reason)
			})
			s.append([]byte(rootShell("after")))
			s.eventually(func() bool {
				return slices.ContainsFunc(s.alerts(), func(a event.Alert) bool { return a.User == "after" })
			})
		})
	}
}

// checkpointed returns the newest alert's sequence in the checkpoint, 0 if there is none.
func (s *instance) checkpointed() uint64 {
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

// flipBits inverts 64 bytes in the middle.
func flipBits(whole []byte) []byte {
	damaged := slices.Clone(whole)
	for i := len(damaged) / 2; i < min(len(damaged), len(damaged)/2+64); i++ {
		damaged[i] ^= 0xff
	}
	return damaged
}

func firstHalf(whole []byte) []byte { return whole[:len(whole)/2] }
