package journal_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"

	"github.com/ironpost/ironpost/internal/testenv"
)

// Journals of earlier versions of journald compress with LZ4 or XZ. journald of today writes neither, so that values are compressed in a
// file of it, in their places; journalctl reads the result.
func TestEarlierCompressionEqualsJournalctl(t *testing.T) {
	t.Parallel()
	j := testenv.NewJournald(t, "SYSTEMD_JOURNAL_COMPACT=0")
	const lines = 20
	text := func(i int) string { return strings.Repeat("abcd ", 80) + fmt.Sprintf("end of %03d", i) }
	for i := range lines {
		send(t, j, "MESSAGE="+text(i)+"\nSYSLOG_IDENTIFIER=test\n")
	}
	stored(t, j, text(lines-1)+"\n")
	j.Run(t, "", "journalctl", "--rotate")
	files, err := filepath.Glob(filepath.Join(j.Persistent, j.Machine, "system@*.journal"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	b := mustRead(t, files[0])
	b[12] |= 1 | 2 // XZ and LZ4
	for i := range lines {
		value := []byte("MESSAGE=" + text(i))
		at := bytes.Index(b, value) - 64
		require.Positive(t, at)
		flag, packed := byte(2), lz4Packed(value)
		if i%2 == 0 {
			flag, packed = 1, xzPacked(t, value)
		}
		require.Less(t, len(packed), len(value))
		b[at+1] = flag
		binary.LittleEndian.PutUint64(b[at+8:], uint64(64+len(packed)))
		copy(b[at+64:], packed)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "remote", "a.journal")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, b, 0o600))
	want := exported(t, "-D", filepath.Dir(path))
	require.Contains(t, strings.Join(want, "\n"), text(0))
	r := read(t, nil, 1<<20, dir)
	r.until(t, func() bool { return len(r.got) == len(want) })
	require.Equal(t, want, r.canonical())

	short := read(t, nil, 1<<10, dir) // a value that is cut is kept as far as the limit
	short.until(t, func() bool { return len(short.got) == len(want) })
	require.Zero(t, short.Stats().Refused)
}

// lz4Packed returns the size of value and a block of 13 literals, one match and the last 10 bytes.
func lz4Packed(value []byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(value)))
	match := len(value) - 13 - 10
	out = append(append(out, 13<<4|15), value[:13]...)
	out = append(out, 5, 0)
	for match -= 4 + 15; match >= 255; match -= 255 {
		out = append(out, 255)
	}
	return append(append(out, byte(match), 10<<4), value[len(value)-10:]...)
}

func xzPacked(t *testing.T, value []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 20, NoCheckSum: true}.NewWriter(&b)
	require.NoError(t, err)
	_, err = w.Write(value)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}
