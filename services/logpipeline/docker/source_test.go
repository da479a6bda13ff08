package docker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
)

const (
	patience = 30 * time.Second
	tick     = 5 * time.Millisecond
)

// follower is a Source whose Run was called.
type follower struct {
	*docker.Source
	t     *testing.T
	woken chan struct{}
	stop  context.CancelFunc
	done  chan error
}

func follow(t *testing.T, d *testenv.Docker, saved *docker.State) *follower {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	f := &follower{t: t, woken: make(chan struct{}, 1), done: make(chan error, 1)}
	var err error
	f.Source, err = docker.New(docker.Config{Socket: d.Socket, MaxLine: 64 << 10, Wake: func() {
		select {
		case f.woken <- struct{}{}:
		default:
		}
	}}, saved, log)
	require.NoError(t, err)
	f.SetEnabled(true)
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	go func() { f.done <- f.Run(ctx) }()
	t.Cleanup(f.end)
	return f
}

// end stops the follower and waits for it. Ending again does nothing.
func (f *follower) end() {
	f.stop()
	select {
	case err, open := <-f.done:
		if open {
			require.NoError(f.t, err)
			close(f.done)
		}
	case <-time.After(patience):
		f.t.Fatal("the source does not stop")
	}
}

// take waits until there are lines, at most for wait.
func (f *follower) take(limit int, wait time.Duration) []docker.Line {
	deadline := time.After(wait)
	for {
		if lines := f.Take(limit); len(lines) > 0 {
			return lines
		}
		select {
		case <-f.woken:
		case <-deadline:
			return nil
		}
	}
}

// wait takes until there are n lines.
func (f *follower) wait(n int) []docker.Line {
	f.t.Helper()
	var out []docker.Line
	for until := time.Now().Add(patience); len(out) < n && time.Now().Before(until); {
		out = append(out, f.take(n-len(out), time.Second)...)
	}
	require.Len(f.t, out, n, "%v", f.Stats())
	return out
}

func (f *follower) following(n int) {
	f.t.Helper()
	require.Eventually(f.t, func() bool { return f.Stats().Containers == n }, patience, tick, "%v", f.Stats())
}

func shell(script string) testenv.ContainerOptions {
	return testenv.ContainerOptions{Cmd: []string{"/bin/sh", "-c", script}}
}

func texts(lines []docker.Line) []string {
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		out = append(out, string(l.Text))
	}
	return out
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, fmt.Sprint("line ", i))
	}
	return out
}

func TestLinesNameTheirContainer(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	old := d.Run(t, shell("echo old; sleep 600"))
	require.Eventually(t, func() bool { return strings.Contains(d.Logs(t, old), "old") }, patience, tick)
	f := follow(t, d, nil)
	f.following(1)

	o := shell(`echo '{"container":{"id":"liar"}}'; echo error >&2; head -c 40000 /dev/zero | tr '\0' x; echo; sleep 600`)
	o.Name = "web"
	id := d.Run(t, o)
	lines := f.wait(3)
	for _, l := range lines {
		require.Equal(t, docker.Container{ID: id, Name: "web", Image: testenv.DockerImage}, l.Container)
		require.WithinDuration(t, time.Now(), l.Time, patience)
		require.True(t, strings.HasPrefix(l.Position, docker.PositionPrefix(id)))
	}
	require.ElementsMatch(t, []string{`{"container":{"id":"liar"}}`, "error", strings.Repeat("x", 40_000)}, texts(lines))
	f.following(2)
	require.Empty(t, f.take(1, 100*time.Millisecond), "lines from before the start are not read")

	d.Do(t, "POST", "/containers/"+id+"/rename?name=shop", nil, nil)
	d.Do(t, "POST", "/containers/"+id+"/restart?t=0", nil, nil)
	require.Equal(t, "shop", f.wait(3)[0].Container.Name)
	require.Empty(t, f.Stats().Reasons)
}

func TestTerminalOutputIsRead(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	f := follow(t, d, nil)
	o := shell("echo one; echo two; sleep 600")
	o.TTY = true
	d.Run(t, o)
	require.Equal(t, []string{"one", "two"}, texts(f.wait(2)))
}

func TestLabelledAndUnreadableLogsAreSkipped(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	f := follow(t, d, nil)
	off, none, on := shell("echo off; sleep 600"), shell("echo none; sleep 600"), shell("echo on; sleep 600")
	off.Labels, off.Name = map[string]string{docker.LabelLogs: "off"}, "quiet"
	none.Host, none.Name = map[string]any{"LogConfig": map[string]any{"Type": "none"}}, "mute"
	d.Run(t, off)
	d.Run(t, none)
	d.Run(t, on)
	require.Equal(t, []string{"on"}, texts(f.wait(1)))
	require.Eventually(t, func() bool {
		return strings.Contains(strings.Join(f.Stats().Reasons, "\n"), "the log of container mute is not read")
	}, patience, tick)
	require.Empty(t, f.take(1, 0))
	require.Equal(t, []string{"logs are not read because of label ironpost.logs=off: quiet"}, f.Stats().Remarks)

	d.Image(t, "third/party:1", off.Labels)
	theirs := shell("echo theirs; sleep 600")
	theirs.Image, theirs.Name = "third/party:1", "theirs"
	d.Run(t, theirs)
	require.Equal(t, []string{"theirs"}, texts(f.wait(1)), "an image does not silence itself")
	require.Contains(t, f.Stats().Remarks, "label ironpost.logs=off of the image does not count (container.trust_image_labels): theirs")
}

// Containers that run for a moment only are read, as long as their log remains.
func TestShortLivedContainersAreRead(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	f := follow(t, d, nil)
	var want []string
	for i := range 15 {
		d.Run(t, shell(fmt.Sprint("echo run ", i)))
		want = append(want, fmt.Sprint("run ", i))
	}
	require.ElementsMatch(t, want, texts(f.wait(len(want))))
	f.following(0)
	require.Zero(t, f.Stats().Missed)
}

// After a crash at any moment the source continues from the saved state: no line is lost or returned twice,
// with both streams and rotation.
func TestEveryLineIsReadOnceDespiteKills(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	const lines = 3000
	f := follow(t, d, nil)
	f.following(0)
	saved := state(t, f)
	o := shell(fmt.Sprintf(`i=1; while [ $i -le %d ]; do echo line $i >&$((1 + i %% 2)); i=$((i+1)); [ $((i %% 100)) = 0 ] && sleep 0.1; done; sleep 600`, lines))
	o.Host = map[string]any{"LogConfig": map[string]any{"Type": "json-file", "Config": map[string]string{"max-size": "64k", "max-file": "20"}}}
	d.Run(t, o)

	random := rand.New(rand.NewPCG(1, 2))
	var kept, pending []docker.Line
	positions := map[string]string{}
	for until := time.Now().Add(patience); len(kept) < lines && time.Now().Before(until); {
		pending = append(pending, f.take(1+random.IntN(60), 200*time.Millisecond)...)
		if random.IntN(3) == 0 || len(kept)+len(pending) == lines {
			saved = state(t, f)
			kept, pending = append(kept, pending...), nil
		}
		if random.IntN(6) == 0 {
			f.end() // what was taken since the last save is lost
			for _, l := range pending {
				known, again := positions[l.Position]
				require.True(t, !again || known == string(l.Text), "two lines have one position")
				positions[l.Position] = string(l.Text)
			}
			pending = nil
			f = follow(t, d, saved)
		}
	}
	requireOnce(t, numbers(1, lines), texts(kept))
	seen := map[string]bool{}
	for _, l := range kept {
		require.False(t, seen[l.Position])
		seen[l.Position] = true
		if text, again := positions[l.Position]; again {
			require.Equal(t, text, string(l.Text), "a line read again has the same position")
		}
	}
}

func requireOnce(t *testing.T, want, got []string) {
	t.Helper()
	times := map[string]int{}
	for _, text := range got {
		times[text]++
	}
	var lost, doubled, unexpected []string
	for _, text := range want {
		switch {
		case times[text] == 0:
			lost = append(lost, text)
		case times[text] > 1:
			doubled = append(doubled, text)
		}
		delete(times, text)
	}
	for text := range times {
		unexpected = append(unexpected, text)
	}
	require.Empty(t, lost, "lost")
	require.Empty(t, doubled, "doubled")
	require.Empty(t, unexpected, "unexpected")
}

// state returns the state after it was marshalled, as in a checkpoint.
func state(t *testing.T, f *follower) *docker.State {
	t.Helper()
	raw, err := json.Marshal(f.State())
	require.NoError(t, err)
	var out docker.State
	require.NoError(t, json.Unmarshal(raw, &out))
	return &out
}

// While Docker is down that is a reason, and its logs are read on when it is back. Lines that Docker itself lost
// when it was killed are not expected.
func TestReadingContinuesAfterDockerWasKilled(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t, "--live-restore")
	f := follow(t, d, nil)
	id := d.Run(t, shell(`i=1; while true; do echo line $i; i=$((i+1)); sleep 0.02; done`))
	got := f.wait(20)
	for range 2 {
		d.Kill(t)
		require.Eventually(t, func() bool {
			return strings.Contains(strings.Join(f.Stats().Reasons, "\n"), "logs of containers are not read: ")
		}, patience, tick)
		d.Start(t)
		require.Eventually(t, func() bool { return len(f.Stats().Reasons) == 0 }, patience, tick)
		got = append(got, f.wait(300)...)
	}
	d.Do(t, "POST", "/containers/"+id+"/kill", nil, nil)
	for lines := f.take(1000, time.Second); len(lines) > 0; lines = f.take(1000, time.Second) {
		got = append(got, lines...)
	}
	require.Equal(t, strings.Fields(strings.ReplaceAll(d.Logs(t, id), "line ", "")), strings.Fields(strings.ReplaceAll(strings.Join(texts(got), "\n"), "line ", "")))
}

func TestMissingDockerIsAReason(t *testing.T) {
	t.Parallel()
	f := follow(t, &testenv.Docker{Socket: t.TempDir() + "/none"}, nil)
	require.Eventually(t, func() bool { return len(f.Stats().Reasons) == 1 }, patience, tick)
	f.SetEnabled(false)
	require.Eventually(t, func() bool { return len(f.Stats().Reasons) == 0 }, patience, tick)
	require.Nil(t, f.State())
}

// While the caller does not take, Docker waits and memory does not grow.
func TestWaitingLinesAreBounded(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	f := follow(t, d, nil)
	const lines = 20_000
	d.Run(t, shell(fmt.Sprintf(`seq 1 %d | sed 's/^/line /'; sleep 600`, lines)))
	first := f.wait(1)
	require.Eventually(t, func() bool { return f.Waiting() >= 1000 }, patience, tick)
	require.LessOrEqual(t, f.Waiting(), 1024)
	require.Equal(t, numbers(1, lines), append(texts(first), texts(f.wait(lines-1))...))
}

// docker run --rm and docker rm -f are ordinary, and no reason for concern.
func TestRemovedContainerIsNoReason(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	f := follow(t, d, nil)
	f.following(0)
	for i := range 12 {
		o := shell(fmt.Sprintf("echo run %d; sleep 0.%d", i, i%10))
		o.Host = map[string]any{"AutoRemove": i%2 == 0}
		id := d.Run(t, o)
		if i%2 == 1 {
			d.Remove(t, id)
		}
		require.Empty(t, f.Stats().Reasons)
	}
	var reasons []string
	require.Eventually(t, func() bool {
		reasons = append(reasons, f.Stats().Reasons...)
		f.Take(100)
		return f.Stats().Containers == 0
	}, patience, tick)
	require.Empty(t, reasons)
}

func TestRemovedContainerIsForgotten(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	f := follow(t, d, nil)
	id := d.Run(t, shell("echo here; sleep 600"))
	f.wait(1)
	require.Contains(t, f.State().Containers, id)
	d.Remove(t, id)
	require.Eventually(t, func() bool { return len(f.State().Containers) == 0 }, patience, tick)
	require.Zero(t, f.Stats().Missed)
}
