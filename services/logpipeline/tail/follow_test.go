package tail_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

func TestExistingFilesAreReadFromTheirEndAtTheFirstStartOnly(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	d.add("old.log", "old\nhalf")
	r := newRig(t, d.path("*.log"))
	r.settle()
	d.add("old.log", " a line\n")
	d.add("new.log", "new\n")
	r.settle()
	require.ElementsMatch(t, []string{"half a line", "new"}, r.got)
	r.got = nil
	r.save()
	require.NoError(t, r.tail.Close())
	d.add("while.log", "appeared while down\n")
	r.start()
	r.want("appeared while down")
}

func TestFromStart(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	d.add("a.log", "a\nb\n")
	r := newRig(t)
	r.cfg.Paths, r.cfg.From = []string{d.path("a.log")}, tail.FromStart
	r.kill()
	r.want("a", "b")
}

func TestSymlinkSwap(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	require.NoError(t, os.Mkdir(d.path("real"), 0o700))
	d.add("real/one", "a\n")
	require.NoError(t, os.Symlink(d.path("real/one"), d.path("app.log")))
	r := newRig(t, d.path("app.log"))
	r.settle()
	d.add("real/one", "b\n")
	r.want("b")
	r.save()
	d.add("real/one", "c\n")
	d.add("real/two", "d\n")
	require.NoError(t, os.Symlink(d.path("real/two"), d.path("next")))
	d.move("next", "app.log")
	r.kill()
	r.want("c", "d")
}

func TestLongLinesAreCutAndDoNotBlock(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t)
	r.cfg.Paths, r.cfg.MaxLine = []string{d.path("a.log")}, 100
	r.kill()
	r.settle()
	d.add("a.log", strings.Repeat("x", 100)+"\n"+strings.Repeat("y", 101)+"\n"+strings.Repeat("z", 1<<20))
	r.want(strings.Repeat("x", 100), strings.Repeat("y", 100), strings.Repeat("z", 100))
	r.save()
	r.kill()
	d.add("a.log", "still the same line\nnext\n")
	r.want("next")
	d.add("a.log", strings.Repeat("w", 500)+"\n")
	r.want(strings.Repeat("w", 100))
	require.Equal(t, int64(1), r.tail.Stats().Truncated)
}

func TestFilesWithIdenticalBeginnings(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("*.log"))
	r.settle()
	head := strings.Repeat("#", 400) + "\n"
	d.add("a.log", head+"a\n")
	d.add("a.other.log", head)
	d.add("b.log", head+"b\n")
	r.settle()
	d.add("a.other.log", "o\n")
	r.settle()
	require.Equal(t, 3, r.twice[strings.TrimSpace(head)])
	for _, line := range []string{"a", "b", "o"} {
		require.Equal(t, 1, r.twice[line], line)
	}
}

// A compressed rotation that cannot be unpacked is named. How many lines it held is not known: the sizes in it prove nothing.
func TestRotationThatCannotBeUnpackedIsNamed(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("app.log"))
	r.settle()
	d.add("app.log", "a\n")
	r.want("a")
	r.save()
	require.NoError(t, r.tail.Close())
	d.add("app.log", "lost\n")
	d.remove("app.log")
	d.add("app.log.1.gz", "\x1f\x8b\x08"+strings.Repeat("\x1f", 20)+"\x07\x00\x00\x00")
	d.add("app.log", "b\n")
	r.start()
	r.want("b")
	st := r.tail.Stats()
	require.EqualValues(t, 2, st.LostFiles, st.Reasons)
	require.Zero(t, st.Lag)
	reasons := strings.Join(st.Reasons, "\n")
	require.Contains(t, reasons, d.path("app.log")+" was removed or written anew")
	require.Contains(t, reasons, d.path("app.log.1.gz")+", a rotation of "+d.path("app.log")+" that was not read to its end, cannot be read")
}

// What was seen of a file and not read is known after a restart: if it is gone then, that many bytes are counted.
func TestKnownSizeIsCountedAsLostAfterARestart(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("app.log"))
	r.settle()
	text, _ := numbered("seen", 0, 100)
	d.add("app.log", text)
	lines, err := r.tail.Read(t.Context(), 10)
	require.NoError(t, err)
	r.save()
	require.NoError(t, r.tail.Close())
	d.remove("app.log")
	r.start()
	r.settle()
	require.Equal(t, int64(len(text))-lines[9].Next, r.tail.Stats().Lost[tail.LostRotated])
	require.EqualValues(t, 1, r.tail.Stats().LostFiles)
}

// A prompt without a newline is no line that waits: what is behind has no age until it is one.
func TestLineWithoutItsEndHasNoAge(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	d.add("app.log", "")
	r := newRig(t, d.path("app.log"))
	r.settle()
	d.add("app.log", "x\nprompt: ")
	r.want("x")
	r.settle()
	behind := r.tail.Stats().Behind
	require.Len(t, behind, 1)
	require.EqualValues(t, len("prompt: "), behind[0].Lag)
	require.Zero(t, behind[0].Age)
	d.add("app.log", "yes\n")
	require.EqualValues(t, len("prompt: yes\n"), r.tail.Stats().Behind[0].Lag)
	require.Positive(t, r.tail.Stats().Behind[0].Age)
	r.want("prompt: yes")
	require.Empty(t, r.tail.Stats().Behind)
}

func TestMaxFilesIsReported(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	for i := range 5 {
		d.add(fmt.Sprintf("%d.log", i), "x\n")
	}
	r := newRig(t)
	r.cfg.Paths, r.cfg.MaxFiles = []string{d.path("*.log")}, 3
	r.kill()
	r.settle()
	st := r.tail.Stats()
	require.Equal(t, 3, st.Files)
	require.Contains(t, st.Reasons[0], "more than 3 files")
}

func TestReloadKeepsPositions(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("a.log"))
	r.settle()
	d.add("a.log", "a\n")
	r.want("a")
	require.Error(t, r.tail.Reload([]string{"relative"}, 0, 0))
	require.NoError(t, r.tail.Reload([]string{d.path("a.log"), d.path("b.log")}, 0, 0))
	d.add("a.log", "b\n")
	r.want("b")
	d.add("b.log", "c\n")
	r.want("c")
	require.NoError(t, r.tail.Reload([]string{d.path("b.log")}, 0, 0))
	d.add("a.log", "not followed\n")
	d.add("b.log", "d\n")
	r.want("d")
}

func TestStateIsDeterministicAndOtherVersionsAreRefused(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("*.log"))
	r.settle()
	for i := range 20 {
		d.add(fmt.Sprintf("%d.log", i), "x\n")
	}
	r.settle()
	a, err := json.Marshal(r.tail.State())
	require.NoError(t, err)
	b, err := json.Marshal(r.tail.State())
	require.NoError(t, err)
	require.Equal(t, a, b)
	_, err = tail.New(r.cfg, &tail.State{Version: 99}, quiet())
	require.ErrorContains(t, err, "version 99")
}

// A Tailer works whatever is in a saved state.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"paths":[{"path":"PATH","files":[{"offset":-5,"head":{"len":999},"tail":{"len":-1}}]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := newDir(t)
		d.add("app.log", "a\nb\n")
		var st tail.State
		if json.Unmarshal([]byte(strings.ReplaceAll(string(raw), "PATH", d.path("app.log"))), &st) != nil {
			return
		}
		tl, err := tail.New(tail.Config{Paths: []string{d.path("app.log")}, Poll: time.Millisecond, Linger: time.Millisecond}, &st, quiet())
		if err != nil {
			return
		}
		defer func() { _ = tl.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		for ctx.Err() == nil {
			_, _ = tl.Read(ctx, 10)
		}
		_ = tl.State()
	})
}

func BenchmarkTail(b *testing.B) {
	d := newDir(b)
	line := "Nov 23 10:00:00 host sshd[123]: Failed password for root from 192.0.2.1 port 22 ssh2\n"
	d.add("a.log", strings.Repeat(line, 200_000))
	b.SetBytes(int64(200_000 * len(line)))
	b.ReportAllocs()
	for b.Loop() {
		tl, err := tail.New(tail.Config{Paths: []string{d.path("a.log")}, From: tail.FromStart}, nil, quiet())
		require.NoError(b, err)
		for n := 0; n < 200_000; {
			lines, err := tl.Next(b.Context(), 1000)
			require.NoError(b, err)
			n += len(lines)
			tl.Done(lines)
		}
		require.NoError(b, tl.Close())
	}
	b.ReportMetric(200_000*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// A path whose lines are not done is not read on; the others are, and the state stays before its lines.
func TestPathWaitsUntilItsLinesAreDone(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	flood, quietFile := d.path("flood.log"), d.path("quiet.log")
	r := newRig(t, flood, quietFile)
	r.settle()
	text, _ := numbered("flood", 0, 100)
	d.add("flood.log", text)
	before, err := r.tail.Next(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, before, 10)
	d.add("quiet.log", "quiet\n")
	for range 3 { // it is never the turn of the other one
		lines, err := r.tail.Read(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, "quiet", string(lines[0].Text))
		d.add("quiet.log", "quiet\n")
	}
	require.False(t, r.tail.State().Consumed(flood, 1))
	require.EqualValues(t, len(text)+len("quiet\n"), r.tail.Stats().Lag, "what is not done is behind")
	behind := r.tail.Stats().Behind
	require.Equal(t, flood, behind[0].Path, "it waits the longest")
	require.Greater(t, behind[0].Age, behind[1].Age)
	r.save()
	r.tail.Done(before)
	require.True(t, r.tail.State().Consumed(flood, before[9].Next))

	r.kill() // from before the lines that were taken
	lines, err := r.tail.Next(t.Context(), 10)
	require.NoError(t, err)
	for lines[0].Path != flood {
		r.tail.Done(lines)
		lines, err = r.tail.Next(t.Context(), 10)
		require.NoError(t, err)
	}
	require.Equal(t, before[0].Position, lines[0].Position)
}
