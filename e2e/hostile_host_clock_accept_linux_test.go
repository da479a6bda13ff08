//go:build accept && linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

// While lines come, the wall clock is set by an hour and by a day, ahead and back: while the daemon runs, before a kill -9, while it is
// down, and before a stop. Each line is one alert, and the daemon is not degraded.
func TestAcceptHostileHostClock(t *testing.T) {
	s := newInstance(t)
	clock := s.withMovableClock()
	s.start()
	n := 0
	write := func(times int) {
		for range times {
			stamp := clock.now().Format(time.Stamp)
			s.append([]byte(fmt.Sprintf("%s web-1 sudo:  user%06d : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash\n", stamp, n)))
			n++
		}
	}
	const portion = 50
	for _, ahead := range []time.Duration{time.Hour, 0, -time.Hour, 0, 24 * time.Hour, 0, -24 * time.Hour, 0} {
		for _, step := range []func(){
			func() { clock.set(ahead) }, // runs on
			func() { s.kill(); write(portion); s.start() },
			func() { require.Zero(t, s.stop(syscall.SIGTERM)); write(portion); s.start() },
		} {
			write(portion)
			step()
			write(portion)
			began := time.Now()
			last := fmt.Sprintf("user%06d", n-1)
			s.eventually(func() bool { return s.allFirstAlerts().at[last].After(clock.now().Add(-waitLimit)) })
			require.WithinDuration(t, clock.now(), s.allFirstAlerts().at[last], 2*waitLimit, "the daemon's clock is that of the test")
			t.Logf("clock %v ahead: line %d has its alert after %.1f s", ahead, n, time.Since(began).Seconds())
		}
	}
	found := s.allFirstAlerts()
	lost, twice := 0, 0
	for i := range n {
		switch found.users[fmt.Sprintf("user%06d", i)] {
		case 0:
			lost++
		case 1:
		default:
			twice++
		}
	}
	t.Logf("8 jumps of an hour and a day, 24 steps, %d lines: lost %d (bar 0), alerted twice %d (bar 0), ids doubled %d (bar 0)", n, lost, twice, found.doubled)
	require.Zero(t, lost)
	require.Zero(t, twice)
	require.Zero(t, found.doubled)
}

// A day passes on the wall clock, in steps of five minutes, on a host that is silent at night: no reason is said.
func TestAcceptHostileHostQuietDay(t *testing.T) {
	const step, day = 5 * time.Minute, 24 * time.Hour
	s := newInstance(t)
	clock := s.withMovableClock()
	s.replace("[general]", "[health]\ninterval_secs = 1\n[general]")
	s.start()
	began, looks := clock.now(), 0
	for ahead := time.Duration(0); ahead <= day; ahead += step {
		clock.set(ahead)
		if hour := clock.now().Hour(); hour >= 7 && ahead%time.Hour == 0 { // as a cron job does
			s.append([]byte(clock.now().Format(time.Stamp) + " stage CRON[4711]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)\n"))
		}
		s.eventually(func() bool { return !s.health().Time.Before(began.Add(ahead)) }) // checked since
		require.Empty(t, s.toldReasons(), "after %v", ahead)
		looks++
	}
	t.Logf("%d looks at the status over %v of a clock that is set: 0 reasons (bar 0)", looks, day)
}

// alertLedger counts the first alerts by user, and the ids stored twice.
type alertLedger struct {
	users   map[string]int
	at      map[string]time.Time // of the alert
	doubled int
}

// allFirstAlerts reads the first alerts, whatever the clock says.
func (s *instance) allFirstAlerts() alertLedger {
	s.t.Helper()
	f, ids := alertLedger{users: map[string]int{}, at: map[string]time.Time{}}, map[string]bool{}
	for dec := json.NewDecoder(strings.NewReader(s.ironpost("alerts", "--json", "--since", "all", "--limit", "0"))); dec.More(); {
		var a event.Alert
		require.NoError(s.t, dec.Decode(&a))
		if ids[a.ID] {
			f.doubled++
		}
		ids[a.ID] = true
		if !a.Update {
			f.users[a.User]++
			f.at[a.User] = a.Time
		}
	}
	return f
}
