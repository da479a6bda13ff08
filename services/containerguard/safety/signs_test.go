package safety_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// Whatever is written into logs is one sign. A second one must be of another sensor, and one of the two an effect.
func TestTwoSensorsAndAnEffectAreEnough(t *testing.T) {
	t.Parallel()
	s, now := safety.NewSigns(), time.Now().UTC()
	enough := func() bool { return safety.Enough(s.About("web", 10*time.Minute, now)) }
	for i := range 20 {
		s.Note("web", safety.Sign{Sensor: "log", What: fmt.Sprint("rule ", i), At: now})
	}
	require.Len(t, s.About("web", 10*time.Minute, now), 1)
	s.Note("web", safety.Sign{Sensor: "another log", At: now})
	require.False(t, enough(), "no effect")
	s.Note("db", safety.Sign{Sensor: "connection", Effect: true, At: now})
	require.False(t, enough(), "of another container")
	s.Note("web", safety.Sign{Sensor: "connection", Effect: true, At: now.Add(-11 * time.Minute)})
	require.False(t, enough(), "before the time")
	s.Note("web", safety.Sign{Sensor: "connection", Effect: true, At: now.Add(-9 * time.Minute)})
	require.True(t, enough())
	require.Equal(t, "connection", s.About("web", 10*time.Minute, now)[0].Sensor, "effects first")
	s.Note("web", safety.Sign{Sensor: "connection", Effect: true, At: now.Add(-30 * time.Minute)})
	require.True(t, enough(), "an old sign takes the place of no newer one")
	s.Note("young", safety.Sign{Sensor: "connection", Effect: true, At: now, Holds: 30 * time.Second})
	require.Len(t, s.About("young", 10*time.Minute, now.Add(30*time.Second)), 1)
	require.Empty(t, s.About("young", 10*time.Minute, now.Add(31*time.Second)))
	s.Remove("web")
	require.Empty(t, s.About("web", 10*time.Minute, now))
}

func TestSignsAreBounded(t *testing.T) {
	t.Parallel()
	s, now := safety.NewSigns(), time.Now()
	for i := range 2000 {
		s.Note(fmt.Sprint("container ", i), safety.Sign{Sensor: "log", At: now.Add(time.Duration(i) * time.Millisecond)})
		s.Note("one", safety.Sign{Sensor: fmt.Sprint("plug-in ", i), At: now.Add(time.Hour)})
	}
	require.Len(t, s.About("one", time.Hour, now.Add(time.Hour)), 8)
	require.Empty(t, s.About("container 0", time.Hour, now.Add(time.Minute)), "the oldest gives way")
	require.NotEmpty(t, s.About("container 1999", time.Hour, now.Add(time.Minute)))
}

func TestSignsOutliveARestart(t *testing.T) {
	t.Parallel()
	f, now := files(t, t.TempDir()), time.Now().UTC()
	s, damage, err := safety.OpenSigns(f)
	require.NoError(t, err)
	require.Empty(t, damage)
	sign := safety.Sign{Sensor: "connection", Effect: true, What: "to 203.0.113.7:443", At: now}
	s.Note("web", sign)
	answer := func(i int) safety.Answer {
		return safety.Answer{Place: "web|GET|/", Source: fmt.Sprint("source ", i), Path: fmt.Sprint("/", i, ".php")}
	}
	s.NoteServer(answer(1), now)
	s.NoteServer(answer(2), now)
	require.NoError(t, s.Save())
	s, damage, err = safety.OpenSigns(f)
	require.NoError(t, err)
	require.Empty(t, damage)
	require.Equal(t, []safety.Sign{sign}, s.About("web", time.Hour, now))
	require.True(t, s.AnswersAll(answer(3), now))
}

// Three sources that have success with three paths in one place show that the server answers everything there; one visitor cannot, nor can
// many with the one path that a web shell has.
func TestServerThatAnswersEverything(t *testing.T) {
	t.Parallel()
	now := time.Now()
	all := func(answers ...safety.Answer) bool {
		s := safety.NewSigns()
		for _, a := range answers[:len(answers)-1] {
			s.NoteServer(a, now)
		}
		return s.AnswersAll(answers[len(answers)-1], now.Add(time.Hour))
	}
	at := func(place, source, path string) safety.Answer {
		return safety.Answer{Place: place, Source: source, Path: path}
	}
	require.True(t, all(at("a", "1", "/x"), at("a", "2", "/y"), at("a", "3", "/z")))
	require.False(t, all(at("a", "1", "/x"), at("a", "2", "/y"), at("b", "3", "/z")), "another place")
	require.False(t, all(at("a", "1", "/x"), at("a", "2", "/x"), at("a", "3", "/x"), at("a", "4", "/x")), "one path")
	require.False(t, all(at("a", "1", "/x"), at("a", "1", "/y"), at("a", "1", "/z"), at("a", "2", "/u")), "two sources")
	s := safety.NewSigns()
	for i := range 3 {
		s.NoteServer(at("a", fmt.Sprint(i), fmt.Sprint(i)), now)
	}
	require.False(t, s.AnswersAll(at("a", "4", "/4"), now.Add(25*time.Hour)), "a day later")
}

// A connection is new once a day, for all containers of a purpose. When the first of them is seen, the purpose begins to learn what is usual; a
// restart of the guard begins that anew only if it was away for an hour.
func TestNewDestinations(t *testing.T) {
	t.Parallel()
	f, now := files(t, t.TempDir()), time.Now().UTC()
	open := func(at time.Time) *safety.Destinations {
		d, damage, err := safety.OpenDestinations(f, at)
		require.NoError(t, err)
		require.Empty(t, damage)
		return d
	}
	one, two, three := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("2001:db8::3")
	d := open(now)
	use := func(address netip.Addr, after time.Duration) string {
		isNew, learned := d.Use("web", address, now.Add(after))
		return fmt.Sprint(isNew, learned)
	}
	d.Present("web", now)
	require.Equal(t, "true false", use(one, 9*time.Minute))
	require.Equal(t, "true true", use(two, 10*time.Minute))
	require.Equal(t, "true true", use(two, 11*time.Minute), "it does not make itself usual")
	require.False(t, d.Known("web", two, now.Add(12*time.Minute)))
	require.True(t, d.Known("web", one, now.Add(12*time.Minute)))
	require.False(t, d.Known("db", one, now.Add(12*time.Minute)))
	d.Present("web", now.Add(12*time.Minute))
	require.NoError(t, d.Save())

	d = open(now.Add(30 * time.Minute))
	require.Equal(t, "true true", use(three, 30*time.Minute), "it learns nothing after a restart")
	require.Equal(t, "false true", use(one, 30*time.Minute))
	require.Equal(t, "true true", use(two, 24*time.Hour), "for a day, also after a restart")
	require.Equal(t, "false true", use(two, 24*time.Hour+11*time.Minute))
	require.Equal(t, "true true", use(two, 55*time.Hour), "not used for a day")
	require.Equal(t, "true true", use(one, 55*time.Hour))
	require.Equal(t, "true true", use(one, 56*time.Hour))
	d = open(now.Add(2 * time.Hour))
	require.Equal(t, "true false", use(three, 2*time.Hour), "it was away, and learns")
}

// What a clock that was ahead left is not usual until then.
func TestDestinationsOfAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	f, now := files(t, t.TempDir()), time.Now().UTC()
	ahead, to := now.Add(1000*time.Hour), netip.MustParseAddr("203.0.113.1")
	d, _, err := safety.OpenDestinations(f, ahead)
	require.NoError(t, err)
	d.Present("web", ahead)
	d.Use("web", to, ahead)
	require.NoError(t, d.Save())
	d, _, err = safety.OpenDestinations(f, now)
	require.NoError(t, err)
	require.True(t, d.Known("web", to, now.Add(23*time.Hour)))
	require.False(t, d.Known("web", to, now.Add(48*time.Hour)))
	_, learned := d.Use("web", to, now.Add(48*time.Hour))
	require.True(t, learned)
}

func TestDestinationsAreBounded(t *testing.T) {
	t.Parallel()
	d, _, err := safety.OpenDestinations(files(t, t.TempDir()), time.Now())
	require.NoError(t, err)
	now, first := time.Now(), netip.MustParseAddr("10.0.0.0")
	d.Present("web", now.Add(-time.Hour))
	address := first
	for i := range 300 {
		isNew, learned := d.Use("web", address, now.Add(time.Duration(i)*time.Second))
		require.True(t, isNew && learned)
		address = address.Next()
	}
	require.False(t, d.Known("web", first, now), "the oldest gives way")
	for i := range 1100 {
		d.Present(fmt.Sprint("purpose ", i), now.Add(time.Duration(i)*time.Second))
	}
	_, learned := d.Use("purpose 1099", first, now.Add(3*time.Hour))
	require.True(t, learned)
	_, learned = d.Use("purpose 0", first, now.Add(3*time.Hour))
	require.False(t, learned, "forgotten, so it learns again")
}
