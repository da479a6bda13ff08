package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/journal"
)

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// What the real journald writes is read as journalctl reads it, in every variant of the format, with values of any bytes and size.
func TestEntriesEqualJournalctl(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{
		"compact": {"SYSTEMD_JOURNAL_COMPACT=1"},
		"regular": {"SYSTEMD_JOURNAL_COMPACT=0"},
		"jenkins": {"SYSTEMD_JOURNAL_COMPACT=0", "SYSTEMD_JOURNAL_KEYED_HASH=0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := testenv.NewJournald(t, env...)
			write(t, j, "line", 300)
			write(t, j, strings.Repeat("long enough to be compressed ", 100), 3)
			send(t, j, "MESSAGE=twice\nMESSAGE=again\nBINARY\n\x04\x00\x00\x00\x00\x00\x00\x00\x01\xff\n\x00\nSYSLOG_IDENTIFIER=test\n")
			stored(t, j, "twice\n")
			want := exported(t, "-D", j.Persistent)
			require.Greater(t, len(want), 300)
			r := read(t, nil, 16<<20, j.Persistent, j.Volatile)
			r.until(t, func() bool { return len(r.got) >= len(want) })
			require.Equal(t, want, r.canonical())
			require.True(t, r.got[0].Local)
		})
	}
}

// Rotation, a user's journal, a flush and journald's death leave each entry to be read once.
func TestFollowOverRotationAndKills(t *testing.T) {
	t.Parallel()
	j := testenv.NewJournald(t)
	r := read(t, nil, 1<<16, j.Persistent, j.Volatile)
	const each = 50
	for round := range 6 {
		write(t, j, fmt.Sprintf("round %d", round), each)
		switch round {
		case 1:
			j.Run(t, "", "journalctl", "--rotate")
		case 2:
			j.Run(t, "from a user\n", "setpriv", "--reuid=1000", "--clear-groups", "systemd-cat", "-t", "test")
		case 3:
			j.Kill(t)
			j.Start(t)
		case 4:
			j.Run(t, "", "journalctl", "--relinquish-var")
			write(t, j, "volatile", each)
			j.Run(t, "", "journalctl", "--flush")
		}
	}
	wants := func() bool {
		got := r.messages()
		n := 0
		for message, times := range got {
			if strings.HasPrefix(message, "round ") || strings.HasPrefix(message, "volatile ") || message == "from a user" {
				require.Equal(t, 1, times, message)
				n++
			}
		}
		return n == 7*each+1 && r.idle()
	}
	r.until(t, wants)
	require.Zero(t, r.Stats().Vacuumed)
	require.Zero(t, r.Stats().Bad)
}

// A position is kept over restarts and renames; what was vacuumed meanwhile is counted exactly, although a user's journal has its own share of
// the sequence numbers.
func TestVacuumedUnreadIsCounted(t *testing.T) {
	t.Parallel()
	j := testenv.NewJournald(t)
	write(t, j, "before", 100)
	j.Run(t, "user 0\n", "setpriv", "--reuid=1000", "--clear-groups", "systemd-cat", "-t", "test")
	stored(t, j, "user 0\n")
	r := read(t, nil, 1<<16, j.Persistent)
	r.until(t, func() bool { return r.messages()["before 99"] == 1 && r.messages()["user 0"] == 1 && r.idle() })
	r.stop()
	saved := r.State()

	const rounds, lines = 6, 40
	for round := range rounds {
		write(t, j, fmt.Sprintf("away %d", round), lines)
		j.Run(t, fmt.Sprintf("user away %d\n", round), "setpriv", "--reuid=1000", "--clear-groups", "systemd-cat", "-t", "test")
		stored(t, j, fmt.Sprintf("user away %d\n", round))
		j.Run(t, "", "journalctl", "--rotate")
	}
	j.Run(t, "", "journalctl", "--vacuum-files=2")
	write(t, j, "after", 10)

	again := read(t, saved, 1<<16, j.Persistent)
	again.until(t, func() bool { return again.messages()["after 9"] == 1 && again.idle() })
	require.Zero(t, again.messages()["before 99"])
	written := 0
	for _, e := range again.got {
		require.Equal(t, 1, again.seen[e.Position])
		if e.Get("_TRANSPORT") != "driver" {
			written++
		}
	}
	st := again.Stats()
	require.Zero(t, st.VacuumedUnknown)
	require.NotZero(t, st.Vacuumed)
	tail := maxSeqnum(again.got)
	require.Equal(t, tail-maxSeqnum(r.got), uint64(len(again.got))+st.Vacuumed)
	require.Less(t, written, rounds*(lines+1)+10)
	again.stop()
	require.Equal(t, st.Vacuumed, again.State().Vacuumed)
}

func maxSeqnum(entries []journal.Entry) (n uint64) {
	for _, e := range entries {
		n = max(n, e.Seqnum)
	}
	return n
}

// A damaged file gives what is left of it: each entry that is delivered was written, and nothing panics or reads without end.
func TestDamagedFileIsSkippedAndCounted(t *testing.T) {
	t.Parallel()
	j := testenv.NewJournald(t)
	write(t, j, "line", 400)
	j.Run(t, "", "journalctl", "--rotate")
	files, err := filepath.Glob(filepath.Join(j.Persistent, j.Machine, "system@*.journal"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	whole := mustRead(t, files[0])
	dir := t.TempDir()
	path := filepath.Join(dir, j.Machine, "system@1.journal")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o755))
	cut := append([]byte(nil), whole[:len(whole)*2/3]...)
	for i := 4096; i < 12288; i += 97 {
		cut[i] ^= 0xff
	}
	require.NoError(t, os.WriteFile(path, cut, 0o600))
	r := read(t, nil, 1<<16, dir)
	r.until(t, r.idle)
	st := r.Stats()
	require.NotZero(t, st.Bad+st.BadFields)
	require.NotEmpty(t, st.Reasons)
}

// A file of a format that is not known is refused and told.
func TestUnknownFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, machineID(t), "system.journal")
	testenv.JournalFile(t, path, "__REALTIME_TIMESTAMP=1700000000000000\n__MONOTONIC_TIMESTAMP=1\n_BOOT_ID=71e75c87bcdc47f89993a7028bf802ff\nMESSAGE=x\n\n")
	b := mustRead(t, path)
	b[12] |= 0x80
	require.NoError(t, os.WriteFile(path, b, 0o600))
	r := read(t, nil, 1<<16, dir)
	r.until(t, func() bool { return len(r.Stats().Reasons) > 0 })
	require.Contains(t, r.Stats().Reasons[0], "newer than this program reads")
}
