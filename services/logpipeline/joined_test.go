package logpipeline_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const processRule = `title: Reads the passwords
id: 6f1f0a52-6f5e-4c0a-9d5e-0a2f6c2f7aa1
status: test
level: high
logsource: {category: process_creation, product: linux}
detection:
  sel: {CommandLine|contains: /etc/shadow, Image|endswith: /cat}
  condition: sel
`

// newAuditRig is a rig with processRule alone.
func newAuditRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.cfg.RulesPath = filepath.Join(t.TempDir(), "process.yml")
	write(t, r.cfg.RulesPath, processRule)
	r.cfg.DedupWindowSecs = 1
	return r
}

// shadowRead returns the records of a program that a user of its own starts: each is a series.
func shadowRead(n int) string {
	return strings.ReplaceAll(executed(n, "/usr/bin/cat", "cat", "/etc/shadow", fmt.Sprint(n)), "auid=1000", fmt.Sprint("auid=", 5000+n))
}

// Wherever the service was killed, also between the records of an event, each event gives its alert once: the records before the position
// of the checkpoint are in it.
func TestAuditEventsAreJoinedOverCrashes(t *testing.T) {
	t.Parallel()
	r := newAuditRig(t)
	r.auditWait = time.Hour
	r.cfg.CheckpointIntervalSecs = 3600 // checkpoints at the start and the end only
	var log []string
	const events = 40
	for n := range events {
		log = append(log, strings.SplitAfter(strings.TrimSuffix(shadowRead(n+1), "\n"), "\n")...)
	}
	for len(log) > 0 {
		s := r.start()
		older := readText(t, r.checkpoint())
		before := s.count("lines")
		some := min(len(log), 1+rand.IntN(40))
		for _, line := range log[:some] {
			r.write(strings.TrimSuffix(line, "\n") + "\n")
		}
		log = log[some:]
		s.waitLines(before + uint64(some))
		s.stop()
		if rand.IntN(3) > 0 { // killed: the checkpoint at the stop was never written
			require.NoError(t, os.WriteFile(r.checkpoint(), []byte(older), 0o600))
		}
	}
	s := r.start()
	alerts := r.wait(events)
	s.stop()
	requireOnce(t, alerts)
	require.Len(t, users(alerts), events)
	for _, a := range alerts {
		require.Equal(t, "Reads the passwords", a.Title)
		require.GreaterOrEqual(t, len(a.Evidence), 2, "the records of the event")
	}
}

// An event whose last record does not come is judged all the same, after a short wait.
func TestUnfinishedAuditEventIsJudgedAfterAWait(t *testing.T) {
	t.Parallel()
	r := newAuditRig(t)
	s := r.start()
	r.write(strings.Join(strings.SplitAfter(shadowRead(1), "\n")[:2], ""))
	alerts := r.wait(1)
	require.Equal(t, "5001", alerts[0].User)
	require.EqualValues(t, 1, s.count("audit_incomplete"))
}

// The programs that were started before a restart are the parents of those after it.
func TestParentIsKnownOverARestart(t *testing.T) {
	t.Parallel()
	r := newAuditRig(t)
	write(t, r.cfg.RulesPath, strings.Replace(processRule, "CommandLine|contains: /etc/shadow, Image|endswith: /cat", "ParentImage: /usr/sbin/nginx, ParentCommandLine|contains: nginx", 1))
	s := r.start()
	parent := startedBy(1, 700, 1, "/usr/sbin/nginx")
	r.write(parent)
	s.waitLines(uint64(strings.Count(parent, "\n")))
	s.stop()
	s = r.start()
	r.write(startedBy(2, 701, 700, "/usr/bin/id"))
	require.Equal(t, "Reads the passwords", r.wait(1)[0].Title)
	s.stop()
}
