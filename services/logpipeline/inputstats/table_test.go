package inputstats_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
)

func TestInputsBeyondTheLimitCountAsOne(t *testing.T) {
	t.Parallel()
	var a inputstats.Table
	const total = inputstats.MaxInputs + 20
	for i := range total {
		bring(&a, inputstats.ID{Kind: inputstats.Container, Name: fmt.Sprint(i)}, 2, 1, event.TrustContainer, begin)
	}
	got := a.All()
	require.Len(t, got, inputstats.MaxInputs+1)
	var lines uint64
	for _, in := range got {
		lines += in.Lines
		if in.ID == inputstats.Other {
			require.EqualValues(t, 40, in.Lines)
			require.EqualValues(t, 20, in.Formats["rfc3164"])
		}
	}
	require.EqualValues(t, 2*total, lines)
	reasons := a.Reasons(0, present, begin)
	require.Len(t, reasons, 1)
	require.Contains(t, reasons[0].Text, "more than 500 inputs")

	// What ended long ago makes room, and nothing of it is forgotten.
	bring(&a, file, 5, 0, event.TrustHost, begin.Add(25*time.Hour))
	lines = 0
	for _, in := range a.All() {
		lines += in.Lines
		require.False(t, in.ID == file && in.Lines != 5)
	}
	require.EqualValues(t, 2*total+5, lines)
}

func TestLossIsOnTheNextAlertOnce(t *testing.T) {
	t.Parallel()
	var a inputstats.Table
	require.Empty(t, a.Take(file, begin))
	a.Lose(file, "lost_bytes_truncated", 100, begin)
	a.Lose(file, "lost_bytes_truncated", 20, begin.Add(time.Minute))
	a.Lose(file, "lost_bytes_rotated", 7, begin)
	a.Lose(file, "lost_bytes_rotated", 0, begin.Add(time.Hour))
	a.Add(inputstats.Batch{ID: file, Counts: inputstats.Counts{Lines: 3, Truncated: 2}}, begin.Add(time.Minute))
	require.Empty(t, a.Take(inputstats.ID{Kind: inputstats.Journal}, begin), "of another input")
	require.Equal(t, []event.Incomplete{{Counter: "lost_bytes_truncated", Amount: 120}, {Counter: "truncated_lines", Amount: 2}},
		a.Take(file, begin.Add(time.Minute)))
	require.Empty(t, a.Take(file, begin.Add(time.Minute)))
	require.Equal(t, []event.Incomplete{{Counter: "lost_bytes_rotated", Amount: 7}}, a.Take(file, begin), "of a rule that looks back further")
	require.Equal(t, map[string]uint64{"lost_bytes_truncated": 120, "lost_bytes_rotated": 7}, a.All()[0].Lost)
}

// The counts and the past of an input survive a restart; the time between is no silence.
func TestInputsSurviveARestart(t *testing.T) {
	t.Parallel()
	var before inputstats.Table
	at := begin
	for range 150 {
		at = at.Add(10 * time.Minute)
		bring(&before, file, 1, 0, event.TrustUnproven, at)
	}
	before.Lose(file, "lost_bytes_rotated", 9, at)
	saved := at.Add(50 * time.Minute)
	text, err := json.Marshal(before.Save())
	require.NoError(t, err)
	var list []inputstats.Saved
	require.NoError(t, json.Unmarshal(text, &list))

	var after inputstats.Table
	now := saved.Add(24 * time.Hour)
	after.Restore(list, saved, now)
	require.Equal(t, before.All(), after.All())
	require.Empty(t, after.Reasons(time.Hour, present, now.Add(9*time.Minute)))
	require.Len(t, after.Reasons(time.Hour, present, now.Add(11*time.Minute)), 1)
	require.Equal(t, []event.Incomplete{{Counter: "lost_bytes_rotated", Amount: 9}}, after.Take(file, at))

	bring(&after, file, 1, 0, event.TrustUnproven, now.Add(5*time.Minute))
	require.Equal(t, 55*time.Minute, after.All()[0].Longest)
}

func TestFormatsOfAnInputAreBounded(t *testing.T) {
	t.Parallel()
	var c inputstats.Counts
	for i := range 100 {
		c.Decoded(fmt.Sprint(i))
	}
	require.Len(t, c.Formats, 65)
	require.EqualValues(t, 36, c.Formats["other"])
}
