package logpipeline

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

func tapped(path, text string) *input {
	in := &input{Event: parse.New(parse.Options{}).Parse([]byte(text), time.Now(), parse.Input{})}
	in.from = inputstats.ID{Kind: inputstats.File, Name: "/var/log/*.log"}
	in.setOrigin(event.Origin{Transport: event.TransportFile, Source: path}, event.TrustUnproven)
	return in
}

func (t *taps) ask(tb testing.TB, r TapRequest, now time.Time) (TapReply, error) {
	tb.Helper()
	body, err := json.Marshal(r)
	require.NoError(tb, err)
	return t.answer(body, now)
}

func TestTapHasTheLinesItAskedFor(t *testing.T) {
	t.Parallel()
	var all taps
	now := time.Now()
	all.offer(tapped("/var/log/a.log", "before anybody asked"), now)
	byFile, err := all.ask(t, TapRequest{Source: "/var/log/a.*"}, now)
	require.NoError(t, err)
	byInput, err := all.ask(t, TapRequest{Source: "/var/log/*.log", Format: "json"}, now)
	require.NoError(t, err)
	all.offer(tapped("/var/log/a.log", `{"msg":"x"}`), now)
	all.offer(tapped("/var/log/b.log", "plain"), now)
	all.offer(tapped("/var/log/a.log", "plain, too"), now)

	got, err := all.ask(t, TapRequest{ID: byFile.ID}, now)
	require.NoError(t, err)
	require.Len(t, got.Lines, 2)
	var line TappedLine
	require.NoError(t, json.Unmarshal(got.Lines[0], &line))
	require.Equal(t, "json", line.Format)
	require.Equal(t, "x", line.Fields["msg"])
	got, err = all.ask(t, TapRequest{ID: byFile.ID, End: true}, now)
	require.NoError(t, err)
	require.Empty(t, got.Lines, "each is given once")
	_, err = all.ask(t, TapRequest{ID: byFile.ID}, now)
	require.ErrorIs(t, err, errNoTap)

	got, err = all.ask(t, TapRequest{ID: byInput.ID}, now)
	require.NoError(t, err)
	require.Len(t, got.Lines, 1)
}

// Whoever does not ask holds neither memory nor the pipeline, and what was left out is counted.
func TestTapsAreBounded(t *testing.T) {
	t.Parallel()
	var all taps
	now := time.Now()
	var ids []string
	for range maxTaps {
		got, err := all.ask(t, TapRequest{}, now)
		require.NoError(t, err)
		ids = append(ids, got.ID)
	}
	_, err := all.ask(t, TapRequest{}, now)
	require.ErrorContains(t, err, "4 operators watch lines already")
	for i := range maxTapLines + 50 {
		all.offer(tapped("/var/log/a.log", fmt.Sprint("line ", i)), now)
	}
	got, err := all.ask(t, TapRequest{ID: ids[0]}, now)
	require.NoError(t, err)
	require.EqualValues(t, maxTapLines+50, uint64(len(got.Lines))+got.Dropped)
	require.GreaterOrEqual(t, got.Dropped, uint64(50))
	body, err := json.Marshal(got)
	require.NoError(t, err)
	require.Less(t, len(body), 512<<10)

	_, err = all.ask(t, TapRequest{}, now.Add(TapLease+time.Second))
	require.NoError(t, err, "the leases of the others are over")
	require.EqualValues(t, 1, all.open.Load())
	_, err = all.answer([]byte("{"), now)
	require.Error(t, err)
	_, err = all.ask(t, TapRequest{Source: "["}, now)
	require.Error(t, err)
}

// A line that is larger as JSON than the bus carries is shown in part, and does not end the watching.
func TestTapOfALargeLineIsCut(t *testing.T) {
	t.Parallel()
	var members strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&members, `"%d%s":["\u0001"],`, i, strings.Repeat("<", 200))
	}
	for name, text := range map[string]string{
		"request": `192.0.2.9 - - [29/Nov/2026:20:00:00 +0000] "GET /` + strings.Repeat("<", 64<<10) + ` HTTP/1.1" 200 1`,
		"members": "{" + members.String() + `"z":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all taps
			now := time.Now()
			got, err := all.ask(t, TapRequest{}, now)
			require.NoError(t, err)
			all.offer(tapped("/var/log/a.log", text), now)
			all.offer(tapped("/var/log/a.log", "short"), now)
			got, err = all.ask(t, TapRequest{ID: got.ID}, now)
			require.NoError(t, err)
			require.Len(t, got.Lines, 2)
			require.Less(t, len(got.Lines[0]), maxTapBytes)
			var line TappedLine
			require.NoError(t, json.Unmarshal(got.Lines[0], &line))
			require.True(t, line.Cut)
			require.NotEmpty(t, line.Fields)
		})
	}
}
