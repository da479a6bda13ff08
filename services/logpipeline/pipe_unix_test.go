//go:build unix

package logpipeline_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A named pipe in place of a log is reported, and reading does not wait for a writer.
func TestNamedPipeInPlaceOfALogDoesNotBlock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pipe := filepath.Join(t.TempDir(), "app.log")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	r.cfg.WatchPaths = append(r.cfg.WatchPaths, pipe)
	s := r.start()
	require.Contains(t, strings.Join(s.Health().Reasons, "\n"), pipe+" is a named pipe")
	r.write(failed("bob", "192.0.2.1"))
	r.wait(1)
}
