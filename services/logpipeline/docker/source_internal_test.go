package docker

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	dockerapi "github.com/ironpost/ironpost/internal/docker"
)

// newQueue returns an enabled source, and a reader whose lines are those that queueLine is called with.
func newQueue(t *testing.T) (*Source, *reader) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	s, err := New(Config{Socket: t.TempDir() + "/docker.sock", MaxLine: 64 << 10, Wake: func() {}}, nil, log)
	require.NoError(t, err)
	t.Cleanup(s.client.Close)
	s.SetEnabled(true)
	r := &reader{container: Container{ID: "a"}, position: LogPosition{}, room: make(chan struct{}, 1)}
	s.readers["a"] = r
	return s, r
}

func queueLine(s *Source, r *reader, text string) bool {
	return s.tryQueue(r, dockerapi.LogLine{Stream: "stdout", Time: time.Now(), Text: []byte(text)})
}

// A reader that goes on because the source was turned off and at once on again: the lines before are gone, those after are returned.
func TestTurnedOffAndAtOnceOnAgain(t *testing.T) {
	t.Parallel()
	s, r := newQueue(t)
	for _, text := range []string{"in work", "before", "before, too"} {
		require.True(t, queueLine(s, r, text))
	}
	require.Equal(t, "in work", string(s.Next(1)[0].Text))
	s.SetEnabled(false)
	s.SetEnabled(true)
	require.True(t, queueLine(s, r, "after"))
	require.Empty(t, s.Next(10), "one chunk of a container at a time")
	s.Done("a")
	lines := s.Next(10)
	require.Len(t, lines, 1)
	require.Equal(t, "after", string(lines[0].Text))
	require.Zero(t, r.bytes)
	require.Zero(t, s.bytes)
}

func TestNextIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	s, r := newQueue(t)
	const size = 10_000
	queued := 0
	for queueLine(s, r, string(bytes.Repeat([]byte("x"), size))) {
		queued++
	}
	taken := 0
	for taken < queued {
		lines := s.Next(maxQueued)
		require.NotEmpty(t, lines)
		require.Less(t, len(lines)*size, maxNextBytes+size)
		taken += len(lines)
		s.Done("a")
	}
	require.Greater(t, queued*size, maxNextBytes)
	require.Zero(t, s.bytes)
}
