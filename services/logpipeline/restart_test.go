package logpipeline_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

func quiet() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

func (r *rig) checkpoint() string { return filepath.Join(r.dir, "checkpoint.json") }

// After a crash between publishing and the next checkpoint the stream is ahead of the checkpoint. Lines are
// from two files, so that they are read again in another order.
func TestAlertsPublishedBeforeACrashAreNotRepeated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second := r.watched + ".2"
	r.cfg.WatchPaths = append(r.cfg.WatchPaths, second)
	r.cfg.CheckpointIntervalSecs = 3600 // checkpoints at the start and the end only
	appendTo(t, second, "")
	written := 0
	for round := range 8 {
		s := r.start()
		older, err := os.ReadFile(r.checkpoint())
		require.NoError(t, err)
		for range 1 + rand.IntN(60) {
			written++
			appendTo(t, []string{r.watched, second}[rand.IntN(2)], failed(fmt.Sprint("u", written), address(written)))
		}
		r.wait(max(1, written-rand.IntN(20)))
		s.stop()
		if round%4 != 3 {
			require.NoError(t, os.WriteFile(r.checkpoint(), older, 0o600))
		}
	}
	s := r.start()
	alerts := r.wait(written)
	s.stop()
	require.Len(t, alerts, written)
	requireOnce(t, alerts)
	require.Len(t, users(alerts), written)
}

// After a crash, the checkpoint that is written when some of the lines were read again leads to the alerts of the others: a second
// crash may come, and the stream remembers ids for two minutes only.
func TestCheckpointWhileLinesAreReadAgain(t *testing.T) {
	t.Parallel()
	const lines = 700 // several batches
	r := newRig(t)
	r.cfg.CheckpointIntervalSecs = 3600 // checkpoints at the start and the end only
	s := r.start()
	older := readText(t, r.checkpoint())
	for n := range lines {
		r.write(failed(fmt.Sprint("u", n), address(n)))
	}
	require.Len(t, r.wait(lines), lines)
	s.stop()

	write(t, r.checkpoint(), older)
	s = r.start()
	var saved struct {
		LastSeq     uint64 `json:"last_seq"`
		ResumeAfter uint64 `json:"resume_after"`
		Sources     struct {
			Files tail.State `json:"files"`
		} `json:"sources"`
	}
	text := readText(t, r.checkpoint()) // after the first batch
	require.NoError(t, json.Unmarshal([]byte(text), &saved))
	s.stop()
	require.EqualValues(t, lines, saved.LastSeq)
	require.EqualValues(t, strings.Count(readText(t, r.watched)[:saved.Sources.Files.Paths[0].Files[0].Offset], "\n"), saved.ResumeAfter, "each line is an alert")
	require.Less(t, saved.ResumeAfter, saved.LastSeq)

	write(t, r.checkpoint(), text)
	s = r.start()
	s.waitLines(lines - saved.ResumeAfter)
	s.stop()
	requireOnce(t, r.alerts())
	require.Len(t, users(r.alerts()), lines)
}

func users(alerts []event.Alert) map[string]bool {
	out := map[string]bool{}
	for _, a := range alerts {
		out[a.User] = true
	}
	return out
}

func TestReplayInAnotherOrderOpensNoSecondSeries(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.CheckpointIntervalSecs = 3600
	second := r.watched + ".2"
	r.cfg.WatchPaths = append(r.cfg.WatchPaths, second)
	appendTo(t, second, "")
	s := r.start()
	older := readText(t, r.checkpoint())
	appendTo(t, second, strings.Repeat(attempt("192.0.2.1"), 3)+failed("x", "192.0.2.1"))
	s.waitLines(4)
	r.write(strings.Repeat(attempt("192.0.2.1"), 3) + failed("y", "192.0.2.1"))
	s.waitLines(8)
	before := r.wait(3)
	require.Len(t, before, 3)
	require.True(t, before[2].Escalated, "the other file is a further source")
	s.stop()

	write(t, r.checkpoint(), older)
	s = r.start()
	s.waitLines(8)
	s.stop()
	require.Equal(t, before, r.alerts())
}

func TestLinesWrittenWhileDownAreRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start().stop()
	r.write(failed("bob", "192.0.2.1"))
	r.start()
	require.Equal(t, "bob", r.wait(1)[0].User)
}

func TestCountsSurviveARestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start()
	r.write(strings.Repeat(attempt("192.0.2.1"), 3))
	s.waitLines(3)
	s.stop()
	s = r.start()
	r.write(strings.Repeat(attempt("192.0.2.1"), 2) + failed("a", "192.0.2.1"))
	r.wait(2)
	s.stop()
	s = r.start()
	r.write(failed("b", "192.0.2.1"))
	s.waitLines(1)
	s.stop()
	require.Len(t, r.alerts(), 2, "the series is still open")
	require.NotEmpty(t, ofRule(r.alerts(), ruleMany))
}

func TestUnusableCheckpointIsRenamedAndReported(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"damaged":            `{"version":1,"ta`,
		"of another machine": `{"version":1,"machine":"other"}`,
		"of version 99":      `{"version":99}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			require.NoError(t, os.MkdirAll(r.dir, 0o700))
			write(t, r.checkpoint(), content)
			s := r.start()
			h := s.Health()
			require.Equal(t, event.Degraded, h.Status)
			require.Contains(t, strings.Join(h.Reasons, "\n"), "checkpoint was "+name)
			aside, err := filepath.Glob(r.checkpoint() + ".bad-*")
			require.NoError(t, err)
			require.Len(t, aside, 1)
			require.Equal(t, content, readText(t, aside[0]))
			r.write(failed("bob", "192.0.2.1"))
			r.wait(1)
		})
	}
}

func TestLostCheckpointRepeatsNoAlert(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start()
	r.write(failed("bob", "192.0.2.1"))
	r.wait(1)
	s.stop()
	require.NoError(t, os.Remove(r.checkpoint()))
	s = r.start()
	r.write(failed("eve", "192.0.2.2"))
	r.wait(2)
	s.stop()
	requireOnce(t, r.alerts())
	require.Len(t, r.alerts(), 2)
}
