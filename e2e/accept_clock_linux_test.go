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

// While the daemon is down the clock is moved one hour on, and while it is down
// again, back. It moves the clock of the whole machine, so it must be asked for.
func TestAcceptEveryLineOnceWithTheClockMoved(t *testing.T) {
	if os.Getenv("IRONPOST_ACCEPT_CLOCK") != "1" {
		testenv.Require(t, "clock", errors.New("moves the clock of this machine by an hour; set IRONPOST_ACCEPT_CLOCK=1"))
	}
	s := newStage(t)
	began, tcp := time.Now(), map[string]bool{}
	t.Cleanup(func() { require.NoError(t, setClock(began, 0)) })
	s.start()
	w := s.load(2 * time.Millisecond)
	for _, by := range []time.Duration{time.Hour, 0} {
		time.Sleep(3 * time.Second)
		s.kill()
		s.spooled(tcp)
		require.NoError(t, setClock(began, by))
		t.Logf("down, clock now %v off", by)
		time.Sleep(2 * time.Second) // lines go on being appended
		s.start()
	}
	w.stop()
	s.settle(w)
	s.spooled(tcp)
	s.ledger(w, tcp)
}

// setClock sets the wall clock to what it would be, moved by the given time. The
// monotonic clock, by which it is reckoned, does not move with it.
func setClock(began time.Time, by time.Duration) error {
	at := began.Add(time.Since(began)).Add(by)
	ts := unix.NsecToTimespec(at.UnixNano())
	return unix.ClockSettime(unix.CLOCK_REALTIME, &ts)
}
