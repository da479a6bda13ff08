package replay_test

import (
	"compress/gzip"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/detect/detecttest"
)

// open opens a capture, compressed or not.
func open(t testing.TB, path string) io.Reader {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	if !strings.HasSuffix(path, ".gz") {
		return file
	}
	unpacked, err := gzip.NewReader(file)
	require.NoError(t, err)
	return unpacked
}

// In captures of benign traffic nothing is found. A capture that is added must stay silent, too.
func TestBenignCapturesAreSilent(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	paths, err := filepath.Glob(filepath.Join(testenv.Data(t, "pcap/benign"), "*.pcap*"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(paths), 81)
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			found, summary := replayFile(t, path, open(t, path))
			require.NotZero(t, summary.Packets)
			require.Empty(t, found)
		})
	}
}

// Captures whose attacks were missed, or were found where there are none.
func TestCases(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	for _, name := range slices.Sorted(maps.Keys(detecttest.Cases())) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, _ := replayFile(t, name, open(t, testenv.Data(t, "../cases/network/"+name)))
			detecttest.Require(t, detecttest.Cases()[name], found)
		})
	}
}
