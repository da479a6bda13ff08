//go:build accept

package journal_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/journal"
)

const manyEntries = 1_000_000

// writeExport writes entries in the export format with fields of all kinds: shared ones, unique ones, long ones, bytes and repeated names.
func writeExport(to io.Writer, n int) {
	w := bufio.NewWriterSize(to, 1<<20)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		_, _ = fmt.Fprintf(w, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=71e75c87bcdc47f89993a7028bf802ff\n", 1_700_000_000_000_000+i*1000, 1000+i)
		_, _ = fmt.Fprintf(w, "_HOSTNAME=web\n_EXE=/usr/sbin/sshd\n_UID=0\nPRIORITY=%d\nSYSLOG_IDENTIFIER=p%d\n_PID=%d\n", i%8, i%300, rnd.IntN(30000))
		switch i % 50 {
		case 0:
			_, _ = fmt.Fprintf(w, "MESSAGE=%d %s\n", i, strings.Repeat("long ", 200+rnd.IntN(2000)))
		case 1:
			_, _ = fmt.Fprintf(w, "MESSAGE=%d\nX=%d\nX=%d\n", i, i, i+1)
		case 2:
			_, _ = fmt.Fprintf(w, "MESSAGE\n\x06\x00\x00\x00\x00\x00\x00\x00a\x00\n\xff%02d\n", i%100)
		default:
			_, _ = fmt.Fprintf(w, "MESSAGE=Failed password for invalid user u%d from 192.0.2.%d port %d ssh2\n", i, i%250, rnd.IntN(60000))
		}
		_, _ = w.WriteString("\n")
	}
	_ = w.Flush()
}

// TestAcceptJournalEqualsExport: a million entries are read as journalctl exports them, field by field.
func TestAcceptJournalEqualsExport(t *testing.T) {
	dir := t.TempDir()
	var one strings.Builder
	writeExport(&one, 1)
	testenv.JournalFile(t, filepath.Join(t.TempDir(), "one.journal"), one.String()) // or skips
	path := filepath.Join(dir, "remote", "many.journal")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o755))
	cmd := exec.Command("/lib/systemd/systemd-journal-remote", "-o", path, "--split-mode=none", "-")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, cmd.Start())
	writeExport(in, manyEntries)
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
	t.Logf("made by systemd-journal-remote in %v", time.Since(began).Round(time.Second))

	r := read(t, nil, 1<<20, dir)
	began, cpu := time.Now(), cpuTime()
	var batch []journal.Entry
	next := func() journal.Entry {
		for len(batch) == 0 {
			if batch = r.Next(500); len(batch) > 0 {
				r.Done(batch[0].Stream)
				break
			}
			select {
			case <-r.woke:
			case <-time.After(time.Minute):
				t.Fatalf("no entry for a minute: %+v", r.Stats())
			}
		}
		e := batch[0]
		batch = batch[1:]
		return e
	}
	read, different := 0, 0
	export(t, func(want string) {
		e := next()
		read++
		if canonical(e.Seqnum, e.Realtime, e.Monotonic, e.Boot.String(), e.Fields) != want {
			different++
			if different < 3 {
				t.Logf("entry %d differs: %q", read, want)
			}
		}
	}, "-D", filepath.Dir(path))
	files, err := filepath.Glob(filepath.Join(dir, "remote", "*"))
	require.NoError(t, err)
	t.Logf("%d entries of %d files, %d differ from journalctl -o export (bar 0), in %v, %v of CPU with the comparison", read, len(files), different, time.Since(began).Round(time.Second), (cpuTime() - cpu).Round(time.Second))
	require.Equal(t, manyEntries, read)
	require.Zero(t, different)
	require.Zero(t, r.Stats().Bad+r.Stats().BadFields)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestAcceptJournalDamaged: of files damaged at random, each entry of the header's count is read or counted, at least as many as journalctl
// reads.
func TestAcceptJournalDamaged(t *testing.T) {
	made := filepath.Join(t.TempDir(), "a.journal")
	var b strings.Builder
	writeExport(&b, 5000)
	testenv.JournalFile(t, made, b.String())
	whole := mustRead(t, made)
	const rounds = 200
	rnd := rand.New(rand.NewPCG(3, 4))
	refused, all, ours, theirs, fewer := 0, 0, 0, 0, 0
	for range rounds {
		dir := t.TempDir()
		path := filepath.Join(dir, "remote", "a.journal")
		require.NoError(t, os.Mkdir(filepath.Dir(path), 0o755))
		damaged := append([]byte(nil), whole...)
		switch rnd.IntN(3) {
		case 0:
			damaged = damaged[:rnd.IntN(len(damaged))]
		case 1:
			for range 1 + rnd.IntN(2000) {
				damaged[rnd.IntN(len(damaged))] ^= byte(1 + rnd.IntN(255))
			}
		case 2:
			at := rnd.IntN(len(damaged))
			clear(damaged[at:min(len(damaged), at+rnd.IntN(1<<20))])
		}
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		r := read(t, nil, 1<<20, dir)
		r.until(t, func() bool { return r.idle() || len(r.Stats().Reasons) > 0 && r.State().Looked && r.idleOrNone() })
		r.stop()
		st := r.Stats()
		counted := 0
		for _, p := range r.State().Files {
			counted += int(p.Entries)
		}
		if counted == 0 {
			refused++
			continue
		}
		require.Equal(t, counted, len(r.got)+int(st.Bad))
		out, _ := exec.Command("journalctl", "--quiet", "-o", "cat", "--output-fields=PRIORITY", "-D", filepath.Dir(path)).Output() // it may fail
		n := strings.Count(string(out), "\n")
		all, ours, theirs = all+counted, ours+len(r.got), theirs+n
		if len(r.got) < n {
			fewer++
		}
	}
	t.Logf("%d damaged files: %d refused as a whole and told; of %d entries of the others %d read, the rest counted as bad; journalctl reads %d; files of which journalctl reads more %d (bar 0)", rounds, refused, all, ours, theirs, fewer)
	require.Zero(t, fewer)
}

// idleOrNone reports whether no file is read.
func (r *reader) idleOrNone() bool { return len(r.State().Files) == 0 || r.idle() }
