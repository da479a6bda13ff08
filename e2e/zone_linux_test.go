package e2e_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

// A daemon in UTC that gets times of the Pacific, without a zone, learns it, keeps it over a restart, and says the right time of alerts. How old
// they are follows from when the lines came, before and after.
func TestZoneOfAnotherCoastIsLearned(t *testing.T) {
	t.Parallel()
	pacific := time.FixedZone("", -8*3600)
	s := newInstance(t)
	s.wrap = []string{"env", "TZ=UTC"}
	s.start()
	line := func(user string) []byte {
		return fmt.Appendf(nil, "%s web sudo: %s : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash\n", time.Now().In(pacific).Format(time.Stamp), user)
	}
	alertOf := func(user string) event.Alert {
		t.Helper()
		s.append(line(user))
		s.eventually(func() bool { return len(s.alertsOf(user)) == 1 })
		return s.alertsOf(user)[0]
	}
	for i := range 5 {
		a := alertOf(fmt.Sprintf("before%d", i))
		require.WithinDuration(t, time.Now().Add(-8*time.Hour), a.LastSeen, time.Minute)
		require.WithinDuration(t, time.Now(), a.ReceivedAt(), time.Minute)
	}
	require.WithinDuration(t, time.Now(), alertOf("learned").LastSeen, time.Minute)
	require.Contains(t, s.ironpost("status"), "times of UTC-08:00 (learned)")
	s.stop(syscall.SIGTERM)
	s.start()
	a := alertOf("restarted")
	require.WithinDuration(t, time.Now(), a.LastSeen, time.Minute)
	require.WithinDuration(t, time.Now(), a.ReceivedAt(), time.Minute)
}
