package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"
)

// compressed returns text as new writes it.
func compressed(t *testing.T, text string, compressor func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := compressor(&out)
	require.NoError(t, err)
	_, err = io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// The generations of a log, each compressed by another program, are one log: what is counted in one goes on in the next, the oldest first.
func TestReplayOfAFolderReadsGenerationsInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	line := 0
	attempts := func(n int) (text string) {
		for range n {
			line++
			text += fmt.Sprintf("Nov 23 08:00:%02d web-1 sshd[811]: Failed password for root from 203.0.113.7 port %d ssh2\n", line, 40000+line)
		}
		return text
	}
	write := func(name string, data []byte, age time.Duration) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, data, 0o600))
		require.NoError(t, os.Chtimes(path, began.Add(5*time.Hour-age), began.Add(5*time.Hour-age)))
	}
	write("old/a.log.3", compressed(t, attempts(3), func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }), 3*time.Hour)
	write("z.2", compressed(t, attempts(3), func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }), 2*time.Hour)
	write("b.1", compressed(t, attempts(3), func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }), time.Hour)
	write("a.log", []byte(attempts(3)+"nothing known\n"), 0)
	write("image.bin", []byte("\x00\x01\x02\x03\x04\x05\x06"), time.Minute)
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link")))

	r := call(t, "replay", "--utc", "--timezone", "UTC", dir)
	require.Equal(t, exitFindings, r.code, r.err)
	require.Contains(t, r.err, "image.bin: skipped, it is neither text nor a capture")
	require.Contains(t, r.err, "4 logs: 13 lines (rfc3164 12, unparsed 1), ")
	require.Contains(t, r.out, "203.0.113.7")
	require.Less(t, strings.Index(r.err, "a.log.3:"), strings.Index(r.err, "z.2:"))
	require.Less(t, strings.Index(r.err, "b.1:"), strings.Index(r.err, "a.log:"))
	require.NotContains(t, r.err, "link")

	r = call(t, "replay", "--utc", filepath.Join(dir, "b.1"))
	require.Equal(t, exitOK, r.code, "three attempts are none")
}

// A file of a folder that is damaged, or that asks for more memory than there is, is named, and the others are read.
func TestReplayOfAFolderGoesOnBehindADamagedFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	greedy := compressed(t, "x\n", func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) })
	header := greedy[12 : 12+4*(int(greedy[12])+1)] // of the block (The .xz File Format 3.1), whose last four bytes are its sum
	at := bytes.Index(header, []byte{0x21, 1})
	require.Positive(t, at)
	header[at+2] = 40 // a dictionary of 4 GiB
	binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(header[:len(header)-4]))
	cut := compressed(t, strings.Repeat("y\n", 1000), func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
	attempts := strings.Repeat("Nov 23 08:00:00 web-1 sshd[811]: Failed password for root from 203.0.113.7 port 4000 ssh2\n", 12)
	for name, data := range map[string][]byte{"a.xz": greedy, "b.gz": cut[:len(cut)-9], "c.log": []byte(attempts)} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	require.NoError(t, os.Chtimes(filepath.Join(dir, "c.log"), began.Add(time.Hour), began.Add(time.Hour)))

	r := call(t, "replay", "--utc", "--timezone", "UTC", dir)
	require.Equal(t, exitFindings, r.code, r.err)
	require.Contains(t, r.err, "a.xz: too large to unpack: it needs a dictionary of 4294967295 bytes")
	require.Contains(t, r.err, "b.gz: unexpected EOF")
	require.Contains(t, r.out, "203.0.113.7")

	require.NoError(t, os.Remove(filepath.Join(dir, "c.log")))
	r = call(t, "replay", "--utc", dir)
	require.Equal(t, exitError, r.code)
	require.Contains(t, r.err, "2 files could not be read to their end")
	require.Equal(t, exitError, call(t, "replay", filepath.Join(dir, "a.xz")).code)
}
