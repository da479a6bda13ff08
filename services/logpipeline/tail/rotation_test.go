package tail_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// step is a change of app.log, or of the Tailer that follows it.
type step func(d dir, r *rig)

func add(text string) step         { return func(d dir, _ *rig) { d.add("app.log", text) } }
func move(from, to string) step    { return func(d dir, _ *rig) { d.move(from, to) } }
func remove(name string) step      { return func(d dir, _ *rig) { d.remove(name) } }
func truncateTo(name string) step  { return func(d dir, _ *rig) { d.copyTruncate("app.log", name) } }
func settled(_ dir, r *rig)        { r.settle() }
func saved(_ dir, r *rig)          { r.settle(); r.save() }
func compress(name string) step    { return func(d dir, _ *rig) { d.compress(name) } }
func killed(_ dir, r *rig)         { r.kill() }
func do(fn func(d dir) error) step { return func(d dir, r *rig) { require.NoError(d.t, fn(d)) } }

// decoy makes a compressed file that begins like app.log and does not continue it.
func decoy(name, text string) step {
	return func(d dir, _ *rig) { d.add(name, text); d.compress(name) }
}

// damaged makes a compressed file with a wrong checksum.
func damaged(name, text string) step {
	return do(func(d dir) error {
		d.add(name, text)
		d.compress(name)
		raw, err := os.ReadFile(d.path(name + ".gz"))
		raw[len(raw)-8] ^= 0xff // RFC 1952: CRC32 and size are last
		return errors.Join(err, os.WriteFile(d.path(name+".gz"), raw, 0o600))
	})
}

func TestRotations(t *testing.T) {
	t.Parallel()
	long, longLines := numbered("long enough to be recognised", 0, 100)
	cases := map[string]struct {
		steps []step
		want  []string
	}{
		"append":                          {[]step{add("a\nb\n"), settled, add("c\n")}, []string{"a", "b", "c"}},
		"rename and create":               {[]step{add("a\n"), settled, move("app.log", "app.log.1"), add("b\n")}, []string{"a", "b"}},
		"rename with unread rest":         {[]step{add("a\n"), settled, add("b\n"), move("app.log", "app.log.1"), add("c\n")}, []string{"a", "b", "c"}},
		"rename while down":               {[]step{add("a\n"), saved, add("b\n"), move("app.log", "app.log.1"), add("c\n"), killed}, []string{"a", "b", "c"}},
		"rename to a dated name":          {[]step{add("a\n"), saved, add("b\n"), move("app.log", "app.log-20261123"), add("c\n"), killed}, []string{"a", "b", "c"}},
		"rename chain while down":         {[]step{add("a\n"), saved, add("b\n"), move("app.log", "app.log.1"), add("c\n"), move("app.log.1", "app.log.2"), move("app.log", "app.log.1"), add("d\n"), killed}, []string{"a", "b", "c", "d"}},
		"partial line waits":              {[]step{add("a\nb"), settled, add("c\n")}, []string{"a", "bc"}},
		"partial line at rotation":        {[]step{add("a\nb"), settled, move("app.log", "app.log.1"), add("c\n")}, []string{"a", "c", "b"}},
		"partial line at kill":            {[]step{add("a\nb"), saved, killed, add("c\n")}, []string{"a", "bc"}},
		"copy and truncate":               {[]step{add("a\nb\n"), settled, truncateTo("app.log.1"), settled, add("c\n")}, []string{"a", "b", "c"}},
		"copy and truncate unread rest":   {[]step{add("a\n"), settled, add("b\n"), truncateTo("app.log.1"), add("c\n")}, []string{"a", "b", "c"}},
		"copy, truncate, grow larger":     {[]step{add("a\n"), settled, truncateTo("app.log.1"), add(long)}, append([]string{"a"}, longLines...)},
		"copy and truncate while down":    {[]step{add("a\n"), saved, add("b\n"), truncateTo("app.log.1"), add("c\n"), killed}, []string{"a", "b", "c"}},
		"two copies while down":           {[]step{add("a\n"), saved, add("b\n"), truncateTo("app.log.2"), add("c\n"), truncateTo("app.log.1"), add("d\n"), killed}, []string{"a", "b", "c", "d"}},
		"truncated and renamed":           {[]step{add("a\n"), saved, add("b\n"), truncateTo("app.log.2"), add("c\n"), move("app.log", "app.log.1"), add("d\n"), killed}, []string{"a", "b", "c", "d"}},
		"delete and recreate":             {[]step{add("a\n"), settled, remove("app.log"), settled, add("b\n")}, []string{"a", "b"}},
		"delete with unread rest":         {[]step{add("a\n"), settled, add("b\n"), remove("app.log"), add("c\n")}, []string{"a", "b", "c"}},
		"recreated with the same line":    {[]step{add("a\n"), settled, remove("app.log"), settled, add("a\n")}, []string{"a", "a"}},
		"inode reused while down":         {[]step{add("a\n"), saved, remove("app.log"), add("b\nc\n"), killed}, []string{"a", "b", "c"}},
		"truncated to the same line":      {[]step{add("a\n"), settled, truncateTo("x"), settled, add("a\n")}, []string{"a", "a"}},
		"new inode with the same content": {[]step{add(long), saved, move("app.log", "gone"), do(func(d dir) error { raw, err := os.ReadFile(d.path("gone")); d.add("app.log", string(raw)); return err }), remove("gone"), killed, add("a\n")}, append(append([]string{}, longLines...), "a")},
		"moved away and back":             {[]step{add("a\n"), settled, move("app.log", "x"), settled, move("x", "app.log"), add("b\n")}, []string{"a", "b"}},
		"compressed while down":           {[]step{add(long), saved, add("b\n"), move("app.log", "app.log.1"), compress("app.log.1"), add("c\n"), killed}, append(append([]string{}, longLines...), "b", "c")},
		"compressed in two parts":         {[]step{add("a\n"), saved, add("b\n"), move("app.log", "app.log.1"), compress("app.log.1"), add("c\n"), killed, add("d\n")}, []string{"a", "b", "c", "d"}},
		"compressed beside another":       {[]step{add("a\nb\n"), saved, decoy("app.log.2", "a\nx\nc\n"), add("c\n"), move("app.log", "app.log.1"), compress("app.log.1"), add("d\n"), killed}, []string{"a", "b", "c", "a", "x", "c", "d"}}, // one that was not seen
		"damaged beside compressed":       {[]step{add("a\nb\n"), saved, damaged("app.log.2", "a\nb\n"+long), add("c\n"), move("app.log", "app.log.1"), compress("app.log.1"), add("d\n"), killed}, []string{"a", "b", "c", "d"}},
		"carriage returns":                {[]step{add("a\r\nb\r\n")}, []string{"a", "b"}},
		"any bytes":                       {[]step{add("\xff\xfd\x01a\nb\x02\n\n")}, []string{"\xff\xfd\x01a", "b\x02", ""}},
		"hole after truncation":           {[]step{add("a\n"), settled, do(func(d dir) error { return os.Truncate(d.path("app.log"), 0) }), settled, do(func(d dir) error { return os.Truncate(d.path("app.log"), 3000) }), add("b\n")}, []string{"a", "b"}},
		"replaced by a folder":            {[]step{add("a\n"), settled, remove("app.log"), do(func(d dir) error { return os.Mkdir(d.path("app.log"), 0o700) }), settled, remove("app.log"), add("b\n")}, []string{"a", "b"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t)
			r := newRig(t, d.path("app.log"))
			r.read(1, 0)
			r.settle()
			for _, do := range c.steps {
				do(d, r)
			}
			r.want(c.want...)
		})
	}
}

// A pattern matches rotated files, too. They must not be read a second time.
func TestRotationsUnderAPattern(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("app.log*"))
	r.settle()
	d.add("app.log", "a\n")
	r.want("a")
	d.move("app.log", "app.log.1")
	d.add("app.log", "b\n")
	r.want("b")
	d.copyTruncate("app.log", "app.log.2")
	d.add("app.log", "c\n")
	r.want("c")
	r.save()
	r.kill()
	d.add("app.log", "d\n")
	r.want("d")
}

// A compressed copy is read on after a restart.
func TestCompressedRotationIsReadOnAfterAKill(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("app.log"))
	r.settle()
	text, lines := numbered("some text", 0, 3000)
	d.add("app.log", "first\n")
	r.want("first")
	r.save()
	require.NoError(t, r.tail.Close())
	d.add("app.log", text)
	d.move("app.log", "app.log.1")
	d.compress("app.log.1")
	d.add("app.log", "last\n")
	r.start()
	for len(r.got) < 1000 {
		require.NotZero(t, r.read(10, 5*time.Second))
	}
	r.save()
	r.kill()
	r.want(append(lines, "last")...)
	require.Empty(t, r.tail.Stats().Lost)
	require.Empty(t, r.tail.Stats().Reasons)
}

// A large file is unpacked in steps: lines of other files are returned before it is done.
func TestUnpackingDoesNotDelayOtherFiles(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	d.add("a.log", "")
	r := newRig(t, d.path("a.log"), d.path("big.log"))
	r.settle()
	d.add("big.log", "first\n")
	r.want("first")
	r.save()
	require.NoError(t, r.tail.Close())
	d.add("big.log", strings.Repeat("x", 64<<20)+"\nlast\n")
	d.move("big.log", "big.log.1")
	d.compress("big.log.1")
	r.cfg.MaxLine = 100
	r.start()
	d.add("a.log", "other\n")
	for !slices.Contains(r.got, "last") {
		require.NotZero(t, r.read(10, 10*time.Second))
	}
	require.Equal(t, []string{"other", strings.Repeat("x", 100), "last"}, r.got)
	require.Empty(t, r.tail.Stats().Lost)
}

// Files that were read and are gone from the folder are forgotten, whichever way a
// program rotates.
func TestFinishedFilesAreForgottenOnceTheyAreGone(t *testing.T) {
	t.Parallel()
	rotate := map[string]func(d dir, to string){
		"copy and truncate": func(d dir, to string) { d.copyTruncate("app.log", to) },
		"rename":            func(d dir, to string) { d.move("app.log", to) },
		"compressed":        func(d dir, to string) { d.move("app.log", to); d.compress(to) },
	}
	for name, rotate := range rotate {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t)
			r := newRig(t, d.path("app.log"))
			r.settle()
			for i := range 12 {
				d.add("app.log", fmt.Sprintf("line %d\nrest %d\n", i, i))
				r.want(fmt.Sprintf("line %d", i), fmt.Sprintf("rest %d", i))
				d.add("app.log", fmt.Sprintf("unread %d\n", i))
				rotate(d, fmt.Sprintf("app.log.%d", i))
				r.save()
				r.kill()
				d.add("app.log", "")
				r.want(fmt.Sprintf("unread %d", i))
				gone, err := filepath.Glob(d.path("app.log.*"))
				require.NoError(t, err)
				for _, path := range gone {
					require.NoError(t, os.Remove(path))
				}
			}
			require.LessOrEqual(t, len(r.tail.State().Paths[0].Files), 10)
			require.LessOrEqual(t, r.tail.Owners(), 16)
		})
	}
}
