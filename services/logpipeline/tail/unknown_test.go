package tail_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A file goes, or is written anew, while nothing reads it, and no copy of it is left: what it grew by is not known, and that is told.
func TestLossWhileNothingReadsIsTold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		steps []step
		told  bool
	}{
		"rotated and removed":   {[]step{add("a\n"), saved, add("b\n"), remove("app.log"), add("c\n"), killed}, true},
		"removed":               {[]step{add("a\n"), saved, add("b\n"), remove("app.log"), killed}, true},
		"truncated":             {[]step{add("a long line\n"), saved, do(func(d dir) error { return os.Truncate(d.path("app.log"), 0) }), add("c\n"), killed}, true},
		"rotated and there":     {[]step{add("a\n"), saved, add("b\n"), move("app.log", "app.log.1"), add("c\n"), killed}, false},
		"compressed":            {[]step{add("a\n"), saved, add("b\n"), move("app.log", "app.log.1"), compress("app.log.1"), add("c\n"), killed}, false},
		"untouched":             {[]step{add("a\n"), saved, killed}, false},
		"grown":                 {[]step{add("a\n"), saved, add("b\n"), killed}, false},
		"removed while it runs": {[]step{add("a\n"), settled, remove("app.log"), add("c\n")}, false},
		"emptied, never read":   {[]step{add(""), saved, add("b\n"), do(emptied), killed}, true},
		"empty, never read":     {[]step{add(""), saved, killed}, false},
		"emptied, and a copy":   {[]step{add(""), saved, add("b\n"), truncateTo("app.log.1"), killed}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t)
			r := newRig(t, d.path("app.log"))
			r.read(1, 0)
			r.settle()
			for _, do := range tc.steps {
				do(d, r)
			}
			r.settle()
			require.Equal(t, tc.told, strings.Contains(strings.Join(r.tail.Stats().Reasons, "\n"), "app.log was removed or written anew while it was not read"), "%v", r.tail.Stats().Reasons)
		})
	}
}

// emptied truncates the log, at a time that a coarse clock tells from the one before.
func emptied(d dir) error {
	later := time.Now().Add(time.Second)
	return errors.Join(os.Truncate(d.path("app.log"), 0), os.Chtimes(d.path("app.log"), later, later))
}

// Many files that went do not hide that another one did.
func TestManyLossesAreCounted(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("*.log"))
	const files = 12
	for n := range files {
		d.add(fmt.Sprintf("%02d.log", n), "a\n")
	}
	r.read(files, 0)
	r.settle()
	saved(d, r)
	for n := range files {
		require.NoError(t, os.Remove(d.path(fmt.Sprintf("%02d.log", n))))
	}
	killed(d, r)
	r.settle()
	require.Contains(t, strings.Join(r.tail.Stats().Reasons, "\n"), "7 more files were removed or written anew while they were not read")
}
