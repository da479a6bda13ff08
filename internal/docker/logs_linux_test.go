package docker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
)

// longLine is longer than two of the parts that Docker splits lines into.
const longLine = 40_000

func TestLongLinesAreJoined(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	c, err := docker.Connect(d.Socket)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	script := `echo first; head -c 40000 /dev/zero | tr '\0' x; echo; echo last; printf unfinished`
	for name, tty := range map[string]bool{"streams": false, "terminal": true} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			id := d.Run(t, testenv.ContainerOptions{TTY: tty, Cmd: []string{"/bin/sh", "-c", script}})
			d.Do(t, "POST", "/containers/"+id+"/wait", nil, nil)
			var lines []docker.LogLine
			require.NoError(t, c.Logs(t.Context(), id, docker.LogOptions{Follow: true}, func(l docker.LogLine) error {
				lines = append(lines, l)
				return nil
			}), "the log ends with its container")
			require.Equal(t, []string{"first", strings.Repeat("x", longLine), "last", "unfinished"}, texts(lines))
			for _, l := range lines {
				require.Equal(t, "stdout", l.Stream)
				require.False(t, l.Truncated)
				require.WithinRange(t, l.Time, began.Add(-time.Second), time.Now())
			}

			var cut []docker.LogLine
			require.NoError(t, c.Logs(t.Context(), id, docker.LogOptions{MaxLine: 1000}, func(l docker.LogLine) error {
				cut = append(cut, l)
				return nil
			}))
			require.Equal(t, []string{"first", strings.Repeat("x", 1000), "last", "unfinished"}, texts(cut))
			require.True(t, cut[1].Truncated)

			var since []string
			require.NoError(t, c.Logs(t.Context(), id, docker.LogOptions{Since: lines[2].Time}, func(l docker.LogLine) error {
				since = append(since, string(l.Text))
				return nil
			}))
			require.Equal(t, []string{"last", "unfinished"}, since, "since includes its own time")
		})
	}
}

func texts(lines []docker.LogLine) []string {
	var out []string
	for _, l := range lines {
		out = append(out, string(l.Text))
	}
	return out
}
