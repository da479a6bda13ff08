//go:build accept

package e2e_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/internal/testenv"
)

// While the daemon is down the clock is set one hour ahead, and in a second downtime back.
// It sets the clock of the whole machine, so it runs only if a variable says so.
func TestAcceptEveryLineOnceWithTheClockMoved(t *testing.T) {
	if os.Getenv("IRONPOST_TEST_CLOCK") != "1" {
		testenv.Require(t, "clock", errors.New("moves the clock of this machine by an hour; set IRONPOST_TEST_CLOCK=1"))
	}
	s := newInstance(t)
	began, tcp := time.Now(), map[string]bool{}
	t.Cleanup(func() { require.NoError(t, setClock(began, 0)) })
	s.start()
	w := s.startLoad(2 * time.Millisecond)
	for _, by := range []time.Duration{time.Hour, 0} {
		time.Sleep(3 * time.Second)
		s.kill()
		s.addSpooledUsers(tcp)
		require.NoError(t, setClock(began, by))
		t.Logf("down, clock now %v off", by)
		time.Sleep(2 * time.Second) // lines are still appended
		s.start()
	}
	w.stop()
	s.waitForLastAlert(w)
	s.addSpooledUsers(tcp)
	s.requireEveryLineOnce(w, tcp)
}

// setClock sets the wall clock to the true time plus the given offset. The true time is
// computed from the monotonic clock, which is not set.
func setClock(began time.Time, by time.Duration) error {
	at := began.Add(time.Since(began)).Add(by)
	ts := unix.NsecToTimespec(at.UnixNano())
	return unix.ClockSettime(unix.CLOCK_REALTIME, &ts)
}
