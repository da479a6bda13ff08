package zones_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/zones"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// shown is what the clock of a zone shows at t, as a line without a zone is read on this machine.
func shown(t time.Time, offset time.Duration) time.Time {
	t = t.UTC().Add(offset)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.Local)
}

func name(s *zones.Source) string { return s.Location().String() }

// observe has lines of a zone come one second apart, and returns whether any of them changed the zone, and when the last one came.
func observe(s *zones.Source, from time.Time, lines int, offset time.Duration) (changed bool, last time.Time) {
	for range lines {
		from = from.Add(time.Second)
		changed = s.Observe(shown(from, offset), from) || changed
	}
	return changed, from
}

func TestZoneIsLearnedFromFiveLines(t *testing.T) {
	var table zones.Table
	s := table.Of("a", noon)
	changed, last := observe(s, noon, 4, -8*time.Hour)
	require.False(t, changed)
	require.Equal(t, "Local", name(s))
	changed, _ = observe(s, last, 1, -8*time.Hour)
	require.True(t, changed)
	require.Equal(t, "UTC-08:00", name(s))
	require.Equal(t, "Local", name(table.Of("b", noon)), "of another source")
}

func TestZonesThatAreLearned(t *testing.T) {
	for offset, want := range map[time.Duration]string{
		5*time.Hour + 45*time.Minute:   "UTC+05:45",
		14 * time.Hour:                 "UTC+14:00",
		-14 * time.Hour:                "UTC-14:00",
		14*time.Hour + 15*time.Minute:  "Local", // no zone
		-20 * time.Hour:                "Local",
		-(8*time.Hour + 4*time.Minute): "Local", // a line that was written a while ago
	} {
		var table zones.Table
		s := table.Of("a", noon)
		observe(s, noon, 10, offset)
		require.Equal(t, want, name(s), "%v", offset)
	}
}

// Forged lines between lines of the zone in use change nothing; a zone that really changed is learned.
func TestZoneInUseIsHeld(t *testing.T) {
	var table zones.Table
	s := table.Of("a", noon)
	_, last := observe(s, noon, 10, -8*time.Hour)
	changed, last := observe(s, last, 100, 5*time.Hour)
	require.False(t, changed)
	_, last = observe(s, last, 1, -8*time.Hour)
	changed, _ = observe(s, last.Add(9*time.Minute), 20, -7*time.Hour)
	require.False(t, changed)
	changed, last = observe(s, last.Add(11*time.Minute), 5, -7*time.Hour)
	require.True(t, changed)
	require.Equal(t, "UTC-07:00", name(s))
	_, here := last.In(time.Local).Zone()
	changed, _ = observe(s, last.Add(11*time.Minute), 5, time.Duration(here)*time.Second)
	require.True(t, changed)
	require.Equal(t, "Local", name(s), "the zone of this machine has no offset, as it may have summer time")
}

func TestZonesAreRestored(t *testing.T) {
	var table, later zones.Table
	observe(table.Of("a", noon), noon, 5, -8*time.Hour)
	table.Of("unknown", noon)
	saved := table.Save()
	require.Len(t, saved, 1)
	tooFar := 15 * 3600
	later.Restore(append(saved, zones.Saved{Source: "b", Offset: &tooFar}))
	require.Equal(t, "UTC-08:00", name(later.Of("a", noon)))
	require.Equal(t, "Local", name(later.Of("b", noon)))
	require.Equal(t, saved, later.Save())
}

func TestSourcesAreBounded(t *testing.T) {
	var table zones.Table
	for i := range 5000 {
		table.Of(fmt.Sprint(i), noon)
	}
	full := table.Of("one more", noon)
	require.Nil(t, full)
	require.Equal(t, time.Local, full.Location())
	require.False(t, full.Observe(noon, noon))
	require.NotNil(t, table.Of("one more", noon.Add(2*time.Hour)))
}

// With any lines, the zone is that of this machine or a multiple of 15 minutes within 14 hours, and of lines of one zone the order of
// their times is the order in which they came.
func TestAnyLines(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	offsets := []time.Duration{-8 * time.Hour, -8 * time.Hour, -8 * time.Hour, 0, 345 * time.Minute, 14 * time.Hour, 15 * time.Hour, -34 * time.Hour}
	learned := 0
	for range 500 {
		var table zones.Table
		s := table.Of("a", noon)
		at, offset := noon, time.Duration(0)
		for range 60 {
			at = at.Add(time.Duration(random.IntN(1200)) * time.Second)
			if random.IntN(6) == 0 {
				offset = offsets[random.IntN(len(offsets))]
			}
			s.Observe(shown(at, offset), at)
			l := s.Location()
			if l == time.Local {
				continue
			}
			learned++
			_, east := at.In(l).Zone()
			require.LessOrEqual(t, max(east, -east), 14*3600)
			require.Zero(t, east%900)
			read := func(x time.Time) time.Time {
				return time.Date(x.Year(), x.Month(), x.Day(), x.Hour(), x.Minute(), x.Second(), 0, l)
			}
			require.True(t, read(at.UTC()).Before(read(at.UTC().Add(time.Second))))
		}
	}
	require.Positive(t, learned)
}
