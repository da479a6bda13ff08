package tail_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// writer writes distinct lines to app.log and rotates it as rotation programs do.
type writer struct {
	dir
	scheme

	rnd      *rand.Rand
	written  []string
	archives []string // names of rotated files, the newest first
	rotated  int
}

// scheme is how files are rotated.
type scheme struct {
	mode     string   // byRename, byCopy or mixed
	names    string   // numbers, dates, or datesInside
	packers  []string // programs that compress rotated files, one of them each time; none: they stay plain
	delay    bool     // the newest rotated file stays plain
	newTimes bool     // compressed files have the time at which they were made
	folder   string   // that rotated files are moved to
}

const (
	byRename = "rename"
	byCopy   = "copy"
	mixed    = "mixed"

	numbers     = "numbers"
	dates       = "dates"        // app.log-20261201
	datesInside = "dates inside" // app-2026-12-01.log
)

var suffixes = map[string]string{"gzip": ".gz", "xz": ".xz", "zstd": ".zst", "bzip2": ".bz2"}

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

// name returns the name of the rotated file n, 1 for the newest if they have numbers, or else the nth.
func (w *writer) name(n int) string {
	day := time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC)
	switch w.names {
	case dates:
		return filepath.Join(w.folder, "app.log-"+day.Format("20060102"))
	case datesInside:
		return filepath.Join(w.folder, "app-"+day.Format(time.DateOnly)+".log")
	}
	return filepath.Join(w.folder, fmt.Sprintf("app.log.%d", n))
}

// makeRoom returns the name for the next rotated file; if they have numbers, the others move up.
func (w *writer) makeRoom() string {
	w.rotated++
	if w.names != numbers {
		return w.name(w.rotated)
	}
	for i := len(w.archives) - 1; i >= 0; i-- {
		to := w.name(i + 2)
		if ext := filepath.Ext(w.archives[i]); slices.Contains([]string{".gz", ".xz", ".zst", ".bz2"}, ext) {
			to += ext
		}
		w.move(w.archives[i], to)
		w.archives[i] = to
	}
	return w.name(1)
}

// pack compresses the newest rotated file, if it is not yet.
func (w *writer) pack() {
	if len(w.packers) == 0 || len(w.archives) == 0 || strings.Contains("gzxzzstbz2", strings.TrimPrefix(filepath.Ext(w.archives[0]), ".")) {
		return
	}
	packer := w.packers[w.rnd.IntN(len(w.packers))]
	w.packWith(packer, w.archives[0])
	w.archives[0] += suffixes[packer]
}

// packWith compresses a file with a program, as a user or logrotate does.
func (d dir) packWith(packer, name string) {
	d.t.Helper()
	args := []string{"-q", d.path(name)}
	if packer == "zstd" {
		args = append(args, "--rm")
	}
	out, err := exec.CommandContext(d.t.Context(), packer, args...).CombinedOutput()
	require.NoError(d.t, err, string(out))
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
	if w.folder != "" {
		require.NoError(w.t, os.MkdirAll(w.path(w.folder), 0o700))
	}
	if w.delay {
		w.pack()
	}
	to := w.makeRoom()
	w.archives = append([]string{to}, w.archives...)
	renamed := w.mode == byRename || w.mode == mixed && w.rnd.IntN(2) == 0
	if renamed {
		w.move("app.log", to)
		w.append()
	} else {
		w.copyTruncate("app.log", to)
	}
	if !w.delay {
		w.pack()
		if w.newTimes {
			now := time.Now()
			require.NoError(w.t, os.Chtimes(w.path(w.archives[0]), now, now))
		}
	}
	if !renamed && w.rnd.IntN(2) == 0 {
		w.append()
	}
}

// Under random appends, rotations of all kinds and kills no line is lost, none is returned under two
// positions, and no two lines have one position (rig.read checks that).
func TestNoLineIsLostUnderRandomRotationsAndKills(t *testing.T) {
	t.Parallel()
	all := []string{"gzip", "xz", "zstd", "bzip2"}
	const runs = 120
	for i := range uint64(runs) {
		rnd := rand.New(rand.NewPCG(i, 7))
		s := scheme{mode: []string{byRename, byCopy, mixed}[i/2%3], names: []string{numbers, dates, datesInside}[rnd.IntN(3)], delay: rnd.IntN(2) == 0}
		if i >= runs/4 {
			s.packers = all[:1+rnd.IntN(len(all))]
			s.newTimes = rnd.IntN(2) == 0
		}
		if rnd.IntN(3) == 0 {
			s.folder = "old"
		}
		pattern := []string{"app.log", "app*"}[i%2]
		t.Run(fmt.Sprintf("%d %s %+v", i, pattern, s), func(t *testing.T) {
			t.Parallel()
			d := newDir(t)
			r := newRig(t, d.path(pattern))
			r.settle()
			r.save()
			w := &writer{dir: d, rnd: rand.New(rand.NewPCG(i/2, 1)), scheme: s}
			w.append()
			for range 40 {
				w.randomStep(r)
			}
			r.account(w.written)
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
func (r *rig) account(written []string) {
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
	require.Empty(r.t, doubled, "under two positions")
	require.Len(r.t, r.twice, len(written), "lines that were not written")
	require.Zero(r.t, r.tail.Stats().Lag)
}
