package inputstats_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
)

var (
	begin = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	file  = inputstats.ID{Kind: inputstats.File, Name: "/var/log/a.log"}
)

func present(inputstats.ID) bool { return true }

// bring adds lines of id, the last plain ones of no known format.
func bring(t *inputstats.Table, id inputstats.ID, lines, plain uint64, trust event.Trust, now time.Time) {
	b := inputstats.Batch{ID: id, Trust: trust, Counts: inputstats.Counts{Lines: lines, Unparsed: plain}}
	for range lines - plain {
		b.Decoded("rfc3164")
	}
	t.Add(b, now)
}

func TestInputIsQuietAgainstItsOwnPast(t *testing.T) {
	t.Parallel()
	var a inputstats.Table
	at := begin
	after := time.Hour
	for range 150 { // a line every ten minutes, for 25 hours
		at = at.Add(10 * time.Minute)
		bring(&a, file, 1, 0, event.TrustUnproven, at)
	}
	require.Empty(t, a.Reasons(after, present, at.Add(59*time.Minute)))
	got := a.Reasons(after, present, at.Add(61*time.Minute))
	require.Len(t, got, 1)
	require.Equal(t, "/var/log/a.log has brought no line for 3660 s, before that never for more than 600 s", got[0].Text)
	require.Equal(t, at, got[0].Since)
	require.Equal(t, event.Degraded, got[0].Status)
	require.Empty(t, a.Reasons(0, present, at.Add(24*time.Hour)), "turned off")
	require.Empty(t, a.Reasons(after, func(inputstats.ID) bool { return false }, at.Add(61*time.Minute)), "it is none any more")

	at = at.Add(2 * time.Hour)
	bring(&a, file, 1, 0, event.TrustUnproven, at)
	require.Empty(t, a.Reasons(after, present, at.Add(9*time.Hour)), "it is known to be silent for two hours")
	require.Len(t, a.Reasons(after, present, at.Add(11*time.Hour)), 1)
}

// What is busy by day and silent at night is not judged before it was seen for a day.
func TestFirstNightIsNotQuiet(t *testing.T) {
	t.Parallel()
	var a inputstats.Table
	at := begin.Add(8 * time.Hour)
	for day := range 3 {
		for range 66 { // a line every ten minutes, for 11 hours
			at = at.Add(10 * time.Minute)
			bring(&a, file, 1, 0, event.TrustUnproven, at)
		}
		require.Empty(t, a.Reasons(time.Hour, present, at.Add(13*time.Hour)), "night %d", day)
		at = at.Add(13 * time.Hour)
	}
}

func TestInputWithoutAPastIsNotQuiet(t *testing.T) {
	t.Parallel()
	var a inputstats.Table
	at := begin
	for range 1000 { // a burst of the start
		at = at.Add(time.Second)
		bring(&a, file, 10, 0, event.TrustUnproven, at)
	}
	require.Empty(t, a.Reasons(time.Hour, present, at.Add(24*time.Hour)))
}

func TestSilenceOfOtherMachinesDegradesNothing(t *testing.T) {
	t.Parallel()
	var a inputstats.Table
	udp := inputstats.ID{Kind: inputstats.Syslog, Name: "udp"}
	at := begin
	for range 150 {
		at = at.Add(10 * time.Minute)
		bring(&a, udp, 1, 0, event.TrustUnproven, at)
	}
	got := a.Reasons(time.Hour, present, at.Add(2*time.Hour))
	require.Len(t, got, 1)
	require.Equal(t, event.Healthy, got[0].Status)
	require.Contains(t, got[0].Text, "syslog:udp has brought no line")
}

func TestShareOfUnparsedLines(t *testing.T) {
	t.Parallel()
	var a inputstats.Table
	named := func(name string) inputstats.ID { return inputstats.ID{Kind: inputstats.File, Name: name} }
	bring(&a, named("few"), 99, 99, event.TrustHost, begin)
	bring(&a, named("trusted"), 200, 150, event.TrustHost, begin)
	bring(&a, named("other"), 200, 100, event.TrustUnproven, begin)
	bring(&a, named("parsed"), 200, 99, event.TrustHost, begin)
	got := a.Reasons(0, present, begin)
	require.Len(t, got, 2)
	require.Equal(t, "50 % of the lines of other are of no known format: only their text is matched", got[0].Text)
	require.Equal(t, event.Healthy, got[0].Status, "a remark")
	require.Equal(t, event.Degraded, got[1].Status)
	require.Empty(t, a.Reasons(0, present, begin.Add(21*time.Minute)), "long ago")
}

// A program in a container may write what it likes. That what it writes was understood and now is not is told.
func TestJumpOfTheUnparsedShareOfAContainer(t *testing.T) {
	t.Parallel()
	var a inputstats.Table
	web := inputstats.ID{Kind: inputstats.Container, Name: "web"}
	app := inputstats.ID{Kind: inputstats.Container, Name: "app"}
	bring(&a, web, 500, 5, event.TrustContainer, begin)
	bring(&a, app, 500, 500, event.TrustContainer, begin)
	later := begin.Add(time.Hour)
	bring(&a, web, 200, 200, event.TrustContainer, later)
	bring(&a, app, 200, 200, event.TrustContainer, later)
	got := a.Reasons(0, present, later)
	require.Len(t, got, 2)
	require.Equal(t, event.Healthy, got[0].Status, "it never was different")
	require.Equal(t, event.Degraded, got[1].Status)
	require.Equal(t, "100 % of the lines of container:web are of no known format, before that 1 %: only their text is matched", got[1].Text)
}

func TestSilenceOfEachInput(t *testing.T) {
	t.Parallel()
	var a inputstats.Table
	udp := inputstats.ID{Kind: inputstats.Syslog, Name: "udp"}
	bring(&a, file, 3, 0, event.TrustHost, begin.Add(-time.Minute))
	bring(&a, udp, 1, 0, event.TrustUnproven, begin.Add(time.Second)) // the clock was set back
	a.Lose(inputstats.ID{Kind: inputstats.Journal}, "lost_entries_vacuumed", 7, begin)
	require.Equal(t, map[inputstats.ID]time.Duration{file: time.Minute, udp: 0}, a.Silences(begin))
}
