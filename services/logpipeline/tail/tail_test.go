package tail_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Tailer that can be killed, and the lines it returned.
type rig struct {
	t     testing.TB
	cfg   tail.Config
	tail  *tail.Tailer
	saved *tail.State
	got   []string          // texts in order, since the last want
	pos   map[string]string // position to text
	twice map[string]int    // text to the number of positions it was seen at

	losses []string // that were told, over all kills
}

func newRig(t testing.TB, paths ...string) *rig {
	r := &rig{t: t, cfg: tail.Config{Paths: paths, ScratchDir: t.TempDir(), Poll: 2 * time.Millisecond, Linger: time.Millisecond}, pos: map[string]string{}, twice: map[string]int{}}
	r.cfg.OnLoss = func(path string, _ bool, cause string, n int64) {
		r.losses = append(r.losses, fmt.Sprintf("%s: %s %d", path, cause, n))
	}
	r.start()
	t.Cleanup(func() { require.NoError(t, r.tail.Close()) })
	return r
}

func quiet() logrus.FieldLogger {
	log, _ := test.NewNullLogger()
	return log
}

func (r *rig) start() {
	tl, err := tail.New(r.cfg, r.saved, quiet())
	require.NoError(r.t, err)
	r.tail = tl
}

// kill drops the Tailer without saving and starts another from the last save.
func (r *rig) kill() {
	require.NoError(r.t, r.tail.Close())
	r.start()
}

// save stores the state through JSON, as the pipeline does.
func (r *rig) save() {
	raw, err := json.Marshal(r.tail.State())
	require.NoError(r.t, err)
	r.saved = &tail.State{}
	require.NoError(r.t, json.Unmarshal(raw, r.saved))
}

// read reads one batch, waiting up to d for it, and returns how many lines it has.
func (r *rig) read(limit int, d time.Duration) int {
	ctx, cancel := context.WithTimeout(r.t.Context(), d)
	defer cancel()
	lines, err := r.tail.Read(ctx, limit)
	if len(lines) == 0 {
		require.ErrorIs(r.t, err, context.DeadlineExceeded)
	}
	for _, line := range lines {
		text := string(line.Text)
		if had, ok := r.pos[line.Position]; ok {
			require.Equal(r.t, had, text, "two lines have the position %s", line.Position)
			continue
		}
		require.LessOrEqual(r.t, len(line.Position), 128)
		r.pos[line.Position] = text
		r.twice[text]++
		r.got = append(r.got, text)
	}
	return len(lines)
}

// settle reads until no line has come for a while.
func (r *rig) settle() {
	for r.read(1000, 40*time.Millisecond) > 0 {
	}
}

// want requires that exactly these lines come next.
func (r *rig) want(lines ...string) {
	r.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); len(r.got) < len(lines) && time.Now().Before(deadline); {
		r.read(1000, 50*time.Millisecond)
	}
	r.settle()
	require.Equal(r.t, lines, r.got)
	r.got = nil
}

// dir is a folder, with the operations of rotation programs on its files.
type dir struct {
	t    testing.TB
	root string
}

func newDir(t testing.TB) dir { return dir{t, t.TempDir()} }

func (d dir) path(name string) string { return filepath.Join(d.root, name) }

func (d dir) add(name, text string) {
	d.t.Helper()
	f, err := os.OpenFile(d.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(d.t, err)
	_, err = f.WriteString(text)
	require.NoError(d.t, err)
	require.NoError(d.t, f.Close())
}

func (d dir) move(from, to string) { require.NoError(d.t, os.Rename(d.path(from), d.path(to))) }
func (d dir) remove(name string)   { require.NoError(d.t, os.Remove(d.path(name))) }

func (d dir) copyTruncate(from, to string) {
	raw, err := os.ReadFile(d.path(from))
	require.NoError(d.t, err)
	require.NoError(d.t, os.WriteFile(d.path(to), raw, 0o600))
	require.NoError(d.t, os.Truncate(d.path(from), 0))
}

// compress replaces a file as gzip does: the compressed one keeps its time.
func (d dir) compress(name string) {
	d.t.Helper()
	raw, err := os.ReadFile(d.path(name))
	require.NoError(d.t, err)
	st, err := os.Stat(d.path(name))
	require.NoError(d.t, err)
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err = w.Write(raw)
	require.NoError(d.t, errors.Join(err, w.Close()))
	require.NoError(d.t, os.WriteFile(d.path(name+".gz"), out.Bytes(), 0o600))
	require.NoError(d.t, os.Chtimes(d.path(name+".gz"), st.ModTime(), st.ModTime()))
	d.remove(name)
}

func numbered(prefix string, from, to int) (text string, lines []string) {
	for i := from; i < to; i++ {
		line := fmt.Sprintf("%s line %d", prefix, i)
		lines = append(lines, line)
		text += line + "\n"
	}
	return text, lines
}
