package logpipeline_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

// The age of an alert goes by when its line was received, also if the text says otherwise; only a line that was there at the start is
// as old as its text says.
func TestReceivedIsNotWhatTheTextSays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	line := func(user string, ago time.Duration) string {
		return fmt.Sprintf("%s web1 sshd[77]: Failed password for %s from 192.0.2.%d port 4242 ssh2\n", stamp(ago), user, len(user))
	}
	r.start().stop()
	r.write(line("a", 5*time.Hour))
	s := r.start()
	r.write(line("bb", 5*time.Hour) + line("ccc", -2*time.Minute))
	alerts := r.wait(3)
	s.stop()
	byUser := map[string]event.Alert{}
	for _, a := range alerts {
		byUser[a.User] = a
	}
	const slack = time.Minute
	require.WithinDuration(t, time.Now().Add(-5*time.Hour), byUser["a"].Received, slack)
	require.WithinDuration(t, time.Now().Add(-5*time.Hour), byUser["bb"].LastSeen, slack)
	require.WithinDuration(t, time.Now(), byUser["bb"].Received, slack)
	require.WithinDuration(t, time.Now(), byUser["ccc"].Received, slack)
}
