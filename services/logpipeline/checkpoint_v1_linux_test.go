package logpipeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/services/logpipeline"
)

// identity returns how a checkpoint names the file at path.
func identity(t *testing.T, path string) string {
	t.Helper()
	var st unix.Statx_t
	require.NoError(t, unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &st))
	return fmt.Sprintf(`{"dev":%d,"inode":%d,"birth":%d}`, unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino, st.Btime.Sec*1e9+int64(st.Btime.Nsec))
}

// A checkpoint that version 1 wrote, with the files it was about, is gone on from: of a watched file and of the spool, the lines
// after its positions become alerts, and no line before.
func TestCheckpointOfVersion1LosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Sources = []string{logpipeline.SourceFile, logpipeline.SourceSyslogTCP}
	r.cfg.SyslogTCPBind = freeAddr(t)
	folder := absolute(t, "testdata/checkpoint-v1")
	spool := filepath.Join(r.dir, "spool", "spool-00000001.log")
	require.NoError(t, os.MkdirAll(filepath.Dir(spool), 0o700))
	write(t, r.watched, readText(t, filepath.Join(folder, "auth.log")))
	write(t, spool, readText(t, filepath.Join(folder, filepath.Base(spool))))
	// The files have other identities and paths than where the checkpoint was written, and this stream begins empty.
	write(t, r.checkpoint(), strings.NewReplacer(
		`{"dev":65024,"inode":9994769,"birth":1796066640426021161}`, identity(t, r.watched),
		`{"dev":65024,"inode":9994776,"birth":1796066640462021160}`, identity(t, spool),
		"/v1", filepath.Dir(r.watched), `"last_seq":3,"resume_after":3`, `"last_seq":0,"resume_after":0`,
	).Replace(readText(t, filepath.Join(folder, "checkpoint.json"))))
	r.write(failed("while-down", "192.0.2.4"))
	record := `{"received":"2026-11-30T19:24:00Z","peer":"127.0.0.1:1","transport":"tcp","message":"<34>Nov 30 19:30:04 web1 sshd[77]: Failed password for spooled from 192.0.2.5 port 4242 ssh2"}` + "\n"
	appendTo(t, spool, record)

	s := r.start()
	require.Empty(t, s.Health().Reasons)
	sendAll(t, dial(t, "tcp", r.cfg.SyslogTCPBind), failed("sent", "192.0.2.6"))
	r.write(failed("now", "192.0.2.7"))
	got := users(r.wait(4))
	s.stop()
	require.Equal(t, map[string]bool{"while-down": true, "spooled": true, "sent": true, "now": true}, got)
	require.Len(t, r.alerts(), 4)
	require.Contains(t, readText(t, r.checkpoint()), `{"version":2,`)
}
