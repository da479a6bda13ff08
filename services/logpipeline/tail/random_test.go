package tail_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ledger writes distinct lines to app.log and rotates it as logrotate does.
type ledger struct {
	dir
	rnd     *rand.Rand
	written []string
	archive int
	mode    string // byRename, byCopy or mixed
}

const (
	byRename = "rename"
	byCopy   = "copy"
	mixed    = "mixed"
)

func (l *ledger) append() {
	for range 1 + l.rnd.IntN(20) {
		line := fmt.Sprintf("line %d %x", len(l.written), l.rnd.Uint64())
		if l.rnd.IntN(10) == 0 {
			line += fmt.Sprintf("%0*d", 300+l.rnd.IntN(2000), 0)
		}
		l.written = append(l.written, line)
		l.add("app.log", line+"\n")
	}
}

// shift makes room for app.log.1.
func (l *ledger) shift() {
	l.archive++
	for i := l.archive; i >= 1; i-- {
		from := l.path(fmt.Sprintf("app.log.%d", i))
		if _, err := os.Stat(from); err == nil {
			require.NoError(l.t, os.Rename(from, l.path(fmt.Sprintf("app.log.%d", i+1))))
		}
	}
}

// tick waits until the clock of the filesystem has moved: files of one tick cannot
// be told apart by their time. Nobody rotates as fast as this test.
func (l *ledger) tick() {
	var first int64
	require.Eventually(l.t, func() bool {
		l.add("tick", "x")
		st, err := os.Stat(l.path("tick"))
		require.NoError(l.t, err)
		if first == 0 {
			first = st.ModTime().UnixNano()
		}
		return st.ModTime().UnixNano() != first
	}, 5*time.Second, time.Millisecond)
}

func (l *ledger) rotate() {
	l.tick()
	defer l.tick()
	l.shift()
	if l.mode == byRename || l.mode == mixed && l.rnd.IntN(2) == 0 {
		l.move("app.log", "app.log.1")
		l.append()
		return
	}
	l.copyTruncate("app.log", "app.log.1")
	if l.rnd.IntN(2) == 0 {
		l.append()
	}
}

// Whatever is done to a log file and whenever its reader is killed: no line is
// missed, none is handed out under two positions, and no position means two lines
// (rig.read checks that). Where both kinds of rotation happened during one downtime
// a copy may be taken for a file of its own: then a line can have two positions.
func TestNothingIsLostWhateverHappens(t *testing.T) {
	t.Parallel()
	const runs = 60
	for i := range uint64(runs) {
		mode, pattern := []string{byRename, byCopy, mixed}[i/2%3], []string{"app.log", "app.log*"}[i%2]
		t.Run(fmt.Sprintf("%s %s %d", pattern, mode, i), func(t *testing.T) {
			t.Parallel()
			d := newDir(t)
			r := newRig(t, d.path(pattern))
			r.settle()
			r.save()
			l := &ledger{dir: d, rnd: rand.New(rand.NewPCG(i/2, 1)), mode: mode}
			l.append()
			for range 40 {
				l.randomStep(r)
			}
			r.account(l.written, mode != mixed)
		})
	}
}

func (l *ledger) randomStep(r *rig) {
	n, from := 0, len(l.written)
	what := [...]string{"append", "append", "append", "rotate", "kill", "save", "read", "read"}[l.rnd.IntN(8)]
	switch what {
	case "append":
		l.append()
	case "rotate":
		l.rotate()
	case "kill":
		r.kill()
	case "save":
		n = r.read(1+l.rnd.IntN(30), 5*time.Millisecond)
		r.save()
	default:
		n = r.read(1+l.rnd.IntN(30), 5*time.Millisecond)
	}
	l.t.Logf("%s: lines %d to %d written, %d read", what, from, len(l.written), n)
}

// account reads to the end and compares with everything written, order aside.
func (r *rig) account(written []string, once bool) {
	r.t.Helper()
	for range 3 {
		r.settle()
	}
	var lost, doubled []string
	for i, line := range written {
		switch n := r.twice[line]; {
		case n == 0:
			lost = append(lost, strconv.Itoa(i))
		case n > 1:
			doubled = append(doubled, strconv.Itoa(i))
			for pos, text := range r.pos {
				if text == line && len(doubled) < 3 {
					r.t.Logf("line %d at %s", i, pos)
				}
			}
		}
	}
	require.Empty(r.t, lost, "lost")
	if once {
		require.Empty(r.t, doubled, "under two positions")
	}
	require.Len(r.t, r.twice, len(written), "lines nobody wrote")
}
