package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"
)

// A file that was found in a folder, and is a pipe by the time it is opened, is not waited for. One that the operator names may be a pipe.
func TestReplayOpensOnlyRegularFoundFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	_, err := replayFile{name: path, found: true}.open()
	require.ErrorContains(t, err, "only regular files")
}

// A small xz file cannot ask for any amount of memory.
func TestReplayBoundsTheMemoryOfXz(t *testing.T) {
	t.Parallel()
	raw := compressed(t, "a line\n", func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) })
	header := raw[12 : 12+(int(raw[12])+1)*4] // The .xz File Format 3.1, after the stream header of 12 bytes
	at := bytes.Index(header, []byte{0x21, 1}) + 2
	header[at] = 40 // a dictionary of 4 GiB (5.3.1)
	binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(header[:len(header)-4]))
	path := filepath.Join(t.TempDir(), "large.xz")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	r := call(t, "replay", path)
	require.NotEqual(t, exitOK, r.code)
	require.Contains(t, r.err, "too large to unpack")
}
