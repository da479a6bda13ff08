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

// writer writes distinct lines to app.log and rotates it as logrotate does.
type writer struct {
	dir
	rnd      *rand.Rand
	written  []string
	archived int    // rotated files
	mode     string // byRename, byCopy or mixed
}

const (
	byRename = "rename"
	byCopy   = "copy"
	mixed    = "mixed"
)

func (w *writer) append() {
	for range 1 + w.rnd.IntN(20) {
		line := fmt.Sprintf("line %d %x", len(w.written), w.rnd.Uint64())
		if w.rnd.IntN(10) == 0 {
			line += fmt.Sprintf("%0*d", 300+w.rnd.IntN(2000), 0)
		}
		w.written = append(w.written, line)
		w.add("app.log", line+"\n")
	}
}

// shift makes room for app.log.1.
func (w *writer) shift() {
	w.archived++
	for i := w.archived; i >= 1; i-- {
		from := w.path(fmt.Sprintf("app.log.%d", i))
		if _, err := os.Stat(from); err == nil {
			require.NoError(w.t, os.Rename(from, w.path(fmt.Sprintf("app.log.%d", i+1))))
		}
	}
}

// tick waits until the clock of the filesystem has advanced: files of one tick cannot
// be distinguished by their time. No rotation program is as fast as this test.
func (w *writer) tick() {
	var first int64
	require.Eventually(w.t, func() bool {
		w.add("tick", "x")
		st, err := os.Stat(w.path("tick"))
		require.NoError(w.t, err)
		if first == 0 {
			first = st.ModTime().UnixNano()
		}
		return st.ModTime().UnixNano() != first
	}, 5*time.Second, time.Millisecond)
}

func (w *writer) rotate() {
	w.tick()
	defer w.tick()
	w.shift()
	if w.mode == byRename || w.mode == mixed && w.rnd.IntN(2) == 0 {
		w.move("app.log", "app.log.1")
		w.append()
		return
	}
	w.copyTruncate("app.log", "app.log.1")
	if w.rnd.IntN(2) == 0 {
		w.append()
	}
}

// Under random appends, rotations and kills no line is lost, none is returned under two
// positions, and no two lines have one position (rig.read checks that). Where both kinds
// of rotation happened during one downtime a copy may be taken for a file of its own:
// then a line can have two positions.
func TestNoLineIsLostUnderRandomRotationsAndKills(t *testing.T) {
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
			w := &writer{dir: d, rnd: rand.New(rand.NewPCG(i/2, 1)), mode: mode}
			w.append()
			for range 40 {
				w.randomStep(r)
			}
			r.account(w.written, mode != mixed)
		})
	}
}

func (w *writer) randomStep(r *rig) {
	n, from := 0, len(w.written)
	what := [...]string{"append", "append", "append", "rotate", "kill", "save", "read", "read"}[w.rnd.IntN(8)]
	switch what {
	case "append":
		w.append()
	case "rotate":
		w.rotate()
	case "kill":
		r.kill()
	case "save":
		n = r.read(1+w.rnd.IntN(30), 5*time.Millisecond)
		r.save()
	default:
		n = r.read(1+w.rnd.IntN(30), 5*time.Millisecond)
	}
	w.t.Logf("%s: lines %d to %d written, %d read", what, from, len(w.written), n)
}

// account reads to the end and compares with everything written, in any order.
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
	require.Len(r.t, r.twice, len(written), "lines that were not written")
}
