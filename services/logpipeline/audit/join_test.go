package audit_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/audit"
)

// joinAll adds lines, each at the position of its index, and returns the texts of the events that they finish.
func joinAll(t *testing.T, j *audit.Joiner, lines ...string) (done []audit.Group) {
	t.Helper()
	for i, line := range lines {
		r, ok := audit.Parse(line)
		require.True(t, ok, line)
		done = append(done, j.Add(&r, audit.Line{Text: line, Position: fmt.Sprint(line, i), Read: time.Unix(int64(i), 0)})...)
	}
	return done
}

func record(kind string, serial int) string {
	return fmt.Sprintf(`type=%s msg=audit(1764446400.123:%d): pid=%d`, kind, serial, serial)
}

func TestInterleavedEventsAreKeptApart(t *testing.T) {
	t.Parallel()
	var j audit.Joiner
	done := joinAll(t, &j, record("SYSCALL", 1), record("SYSCALL", 2), record("EXECVE", 2), record("EXECVE", 1), record("PROCTITLE", 2), record("EOE", 2), record("EOE", 1))
	require.Len(t, done, 2)
	require.Equal(t, []string{record("SYSCALL", 2), record("EXECVE", 2), record("PROCTITLE", 2)}, done[0].Texts)
	require.Equal(t, []string{record("SYSCALL", 1), record("EXECVE", 1), record("EOE", 1)}, done[1].Texts)
	require.True(t, done[0].Ended)
	require.Empty(t, j.Groups())
}

// Events whose last record is lost end when their sender is at later ones.
func TestEventsEndWhenTheirSenderMovesOn(t *testing.T) {
	t.Parallel()
	var j audit.Joiner
	require.Empty(t, joinAll(t, &j, record("SYSCALL", 1), record("SYSCALL", 17)))
	done := joinAll(t, &j, record("SYSCALL", 18))
	require.Len(t, done, 1)
	require.False(t, done[0].Ended)
	require.EqualValues(t, 1, done[0].Serial)

	done = joinAll(t, &j, `type=SYSCALL msg=audit(1764446402.124:3): pid=1`) // a lower serial, but later: the machine was started again
	require.Len(t, done, 2)
	require.Len(t, j.Expire(time.Unix(60, 0)), 1)
	require.Empty(t, j.Groups())
}

func TestRecordsThatStandAloneAreNotKept(t *testing.T) {
	t.Parallel()
	var j audit.Joiner
	require.Empty(t, joinAll(t, &j, record("USER_LOGIN", 1), record("DAEMON_START", 2), record("SERVICE_STOP", 3), record("EOE", 4), record("PROCTITLE", 5), record("UNKNOWN[1999]", 6)))
	require.Empty(t, j.Groups())
}

// Whatever the serials and sizes are, what is kept is bounded, and what was pushed out is returned.
func TestHostileRecordsAreBounded(t *testing.T) {
	t.Parallel()
	var j audit.Joiner
	events := 0
	for i := range 500 {
		line := record("SYSCALL", 500-i) + strings.Repeat("x", 30<<10)
		events += len(joinAll(t, &j, line))
		total := 0
		for _, g := range j.Groups() {
			total += g.Bytes
		}
		require.LessOrEqual(t, len(j.Groups()), 64)
		require.LessOrEqual(t, total, 1<<20)
	}
	require.Equal(t, 500, events+len(j.Groups()))

	j = audit.Joiner{}
	for i := range 300 {
		joinAll(t, &j, record("PATH", 1)+fmt.Sprint(" item=", i))
	}
	joinAll(t, &j, record("CWD", 1)+strings.Repeat("x", 64<<10))
	require.Len(t, j.Groups(), 1)
	require.Len(t, j.Groups()[0].Texts, 256)
	require.Equal(t, 45, j.Groups()[0].Cut)
}

// What a checkpoint holds goes on as if there had been no stop, and a line that is read again is not added twice.
func TestUnfinishedEventsGoOnFromACheckpoint(t *testing.T) {
	t.Parallel()
	var j audit.Joiner
	joinAll(t, &j, record("SYSCALL", 1), record("EXECVE", 1))
	saved, err := json.Marshal(j.Groups())
	require.NoError(t, err)
	var groups []audit.Group
	require.NoError(t, json.Unmarshal(saved, &groups))
	again := audit.NewJoiner(groups)
	r, _ := audit.Parse(record("EXECVE", 1))
	require.Empty(t, again.Add(&r, audit.Line{Text: record("EXECVE", 1), Position: groups[0].Last}))
	require.Equal(t, "SYSCALL", again.Call(&r, "").Type)
	done := joinAll(t, again, record("EOE", 1))
	require.Len(t, done, 1)
	require.Equal(t, []string{record("SYSCALL", 1), record("EXECVE", 1), record("EOE", 1)}, done[0].Texts)
	require.Equal(t, record("SYSCALL", 1)+"0", done[0].Position)
}

// A sender that floods pushes out its own events, by their number and by their size, and can neither add to nor end those of another.
func TestASenderDoesNotDisturbTheEventsOfAnother(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"number": "", "size": strings.Repeat("x", 30<<10)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var j audit.Joiner
			add := func(sender, kind string, serial int, text string) []audit.Group {
				r, ok := audit.Parse(record(kind, serial) + text)
				require.True(t, ok)
				return j.Add(&r, audit.Line{Text: record(kind, serial) + text, Position: fmt.Sprint(sender, kind, serial), Sender: sender})
			}
			require.Empty(t, add("kernel", "SYSCALL", 500, ""))
			for serial := 499; serial > 300; serial-- { // each lower than the last, so that none ends for its serial
				for _, done := range add("user", "EXECVE", serial, text) {
					require.Equal(t, "user", done.Sender)
				}
			}
			for _, done := range append(add("user", "EXECVE", 500, ""), add("user", "EOE", 500, "")...) {
				require.Equal(t, "user", done.Sender)
			}
			done := add("kernel", "PROCTITLE", 500, "")
			require.Len(t, done, 1)
			require.Equal(t, []string{record("SYSCALL", 500), record("PROCTITLE", 500)}, done[0].Texts)
		})
	}
}
