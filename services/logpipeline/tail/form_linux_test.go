package tail_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

func inUTF16(text string, bigEndian bool) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(text)) {
		pair := []byte{byte(u), byte(u >> 8)}
		if bigEndian {
			pair[0], pair[1] = pair[1], pair[0]
		}
		b.Write(pair)
	}
	return b.String()
}

const bom = "\ufeff"

// A file in UTF-16 gives its lines in UTF-8, with or without a byte order mark, whatever parts it is written in.
func TestUTF16LinesAreHandedOnAsUTF8(t *testing.T) {
	t.Parallel()
	text := "Nov 29 20:00:00 h p[1]: Ünïcode \U0001f600\r\nsecond ਊ line\nthird\n"
	want := []string{"Nov 29 20:00:00 h p[1]: Ünïcode \U0001f600", "second ਊ line", "third"}
	for _, c := range []struct {
		name, mark string
		big        bool
	}{{"little endian", bom, false}, {"big endian", bom, true}, {"little endian without a mark", "", false}, {"big endian without a mark", "", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			raw := inUTF16(c.mark+text, c.big)
			for _, part := range []int{len(raw), 1, 7} {
				d := newDir(t)
				r := newRig(t, d.path("app.log"))
				r.settle()
				for from := 0; from < len(raw); from += part {
					d.add("app.log", raw[from:min(len(raw), from+part)])
					r.read(10, 3*time.Millisecond)
				}
				r.want(want...)
				r.save()
				r.kill()
				d.add("app.log", inUTF16("after a restart\n", c.big))
				r.want("after a restart")
			}
		})
	}
}

// A file in UTF-16 that is there already is read from its end, and a line over the limit is cut at a whole character.
func TestUTF16IsReadFromTheEndAndCut(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	d.add("app.log", inUTF16(bom+"old\nhalf ", false))
	r := newRig(t, d.path("app.log"))
	r.cfg.MaxLine = 33
	r.kill()
	r.settle()
	d.add("app.log", inUTF16("a line\n"+strings.Repeat("x", 50)+"\nnext\n", false))
	r.want("half a line", strings.Repeat("x", 16), "next")
	require.EqualValues(t, 1, r.tail.Stats().Truncated)
}

func TestByteOrderMarkAndZeroBytesAreLeftOut(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("app.log"))
	r.settle()
	d.add("app.log", "\xef\xbb\xbffirst\n"+strings.Repeat("\x00", 3000)+"second\nMAR\x00KER\n")
	r.want("first", "second", "MARKER")
}

// Where no line feed came before, carriage returns end lines, too.
func TestCarriageReturnsAloneEndLines(t *testing.T) {
	t.Parallel()
	for _, part := range []int{1000, 1} {
		d := newDir(t)
		r := newRig(t, d.path("app.log"))
		r.settle()
		for _, c := range []byte("one\rtwo\rthree\r") {
			d.add("app.log", string(c))
			if part == 1 {
				r.read(10, 3*time.Millisecond)
			}
		}
		r.want("one", "two", "three")
		r.save()
		r.kill()
		d.add("app.log", "four\rfive\r\nsix\rseven\n")
		r.want("four", "five", "six\rseven")
	}
}

func TestCarriageReturnInALineMakesNoTwoOfIt(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("app.log"))
	r.settle()
	d.add("app.log", "one\r\r\ntwo\rforged\nthree\r\n")
	r.want("one\r", "two\rforged", "three")
}

func TestCarriageReturnsOfAFileThatIsThere(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	d.add("app.log", strings.Repeat("old line\r", 20_000))
	r := newRig(t, d.path("app.log"))
	r.settle()
	d.add("app.log", "new\rnext\r")
	r.want("new", "next")
}

// What a pattern matches and is no text is not read but named, a rotation of a followed file not even that.
func TestFilesThatAreNoTextAreNamed(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	random := make([]byte, 300_000)
	src := rand.NewChaCha8([32]byte{1})
	_, err := src.Read(random)
	require.NoError(t, err)
	_, lines := numbered("there", 0, 40)
	d.add("app.log", strings.Join(lines, "\n")+"\n")
	d.add("app.log.3", strings.Join(lines, "\n")+"\n")
	d.compress("app.log.3")
	r := newRig(t, d.path("app*"))
	r.settle()
	d.add("app.bin", string(random))
	d.add("app-other", "some text\n")
	d.compress("app-other")
	require.NoError(t, os.Rename(d.path("app-other.gz"), d.path("app-other")))
	d.add("app.log", "new\n")
	r.want("new")
	st := r.tail.Stats()
	require.Zero(t, st.Lag)
	require.EqualValues(t, 1, st.Refused[tail.RefusedBinary])
	require.EqualValues(t, 1, st.Refused[tail.RefusedCompressed])
	require.Len(t, st.Reasons, 2)
	require.Contains(t, st.Reasons[0], "app.bin is no text")
	require.Contains(t, st.Reasons[1], "app-other is compressed (gzip)")
	require.Equal(t, 2, st.Present, "app.log and its rotation")
}

// Text of any language, with colours and holes, is text.
func TestTextIsNotTakenForBinary(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"Latin-1":     strings.Repeat("M\xfcller m\xf6chte \xe4rger\n", 20),
		"Shift JIS":   strings.Repeat("\x93\xfa\x96\x7b\x8c\xea\x82\xcc\x83\x8d\x83\x4f\n", 20),
		"colours":     strings.Repeat("\x1b[31mERROR\x1b[0m it failed\n", 20),
		"hole":        "first\n" + strings.Repeat("\x00", 3000) + "second\n" + strings.Repeat("third\n", 20),
		"some zeroes": strings.Repeat("a line with a zero \x00 in it is text\n", 20),
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t)
			r := newRig(t, d.path("*.log"))
			r.settle()
			d.add("app.log", text)
			n := strings.Count(text, "\n")
			for deadline := time.Now().Add(5 * time.Second); len(r.got) < n && time.Now().Before(deadline); {
				r.settle()
			}
			require.Len(t, r.got, n)
		})
	}
}

// A deleted file is closed at the latest five seconds after it was read to its end, whether a path or a pattern names it.
func TestDeletedFileIsLetGo(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, tail.DefaultLinger+time.Second/2, 5*time.Second)
	d := newDir(t)
	r := newRig(t, d.path("literal.log"), d.path("*.log"))
	r.cfg.Poll, r.cfg.Linger = time.Hour, 300*time.Millisecond
	r.kill()
	r.settle()
	for _, name := range []string{"literal.log", "matched.log"} {
		d.add(name, "a line\n")
	}
	r.want("a line", "a line")
	var before, after []string
	before = openUnder(t, d.root)
	require.Len(t, before, 2)
	d.remove("literal.log")
	d.remove("matched.log")
	require.Eventually(t, func() bool {
		r.read(10, 100*time.Millisecond)
		after = openUnder(t, d.root)
		return len(after) == 0
	}, 4*time.Second, time.Millisecond, "still open: %v", after)
}

// openUnder lists the files below dir that this process has open.
func openUnder(t *testing.T, dir string) (open []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && strings.HasPrefix(target, dir+"/") {
			open = append(open, target)
		}
	}
	return open
}

// A writer that is told of a rotation late goes on writing to the rotated file: those lines are read, too.
func TestLinesWrittenLateToARotatedFileAreRead(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("app.log"))
	r.settle()
	d.add("app.log", "first\n")
	r.want("first")
	d.move("app.log", "app.log.1")
	d.add("app.log", "new\n")
	r.want("new")
	for deadline := time.Now().Add(5 * time.Second); slices.Contains(openUnder(t, d.root), d.path("app.log.1")) && time.Now().Before(deadline); {
		r.settle() // until it is let go
	}
	require.NotContains(t, openUnder(t, d.root), d.path("app.log.1"))
	for i := range 3 {
		d.add("app.log.1", fmt.Sprintf("late %d\n", i))
		r.want(fmt.Sprintf("late %d", i))
	}
	r.save()
	require.NoError(t, r.tail.Close())
	d.add("app.log.1", "late, while down\n")
	r.start()
	r.want("late, while down")
}

// What is no file is named and never opened.
func TestNoFilesInAPatternAreNamed(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	require.NoError(t, os.Mkdir(d.path("folder.log"), 0o700))
	require.NoError(t, unix.Mkfifo(d.path("pipe.log"), 0o600))
	require.NoError(t, os.Symlink("loop.log", d.path("loop.log")))
	r := newRig(t, d.path("*.log"))
	r.settle()
	d.add("app.log", "a\n")
	r.want("a")
	require.Len(t, r.tail.Stats().Reasons, 3)
}
