//go:build accept

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

const journalKills = 40

// journalWriter sends lines to a journald, each of which is an alert about a user of its own.
type journalWriter struct {
	t *testing.T
	j *testenv.Journald
	n atomic.Int64 // lines sent
}

func (w *journalWriter) write(lines int) {
	w.t.Helper()
	conn, err := net.Dial("unixgram", w.j.Socket())
	require.NoError(w.t, err)
	for range lines {
		_, err := fmt.Fprintf(conn, "MESSAGE=  file%d : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash\nSYSLOG_IDENTIFIER=sudo\nPRIORITY=5\nSYSLOG_FACILITY=10\n", w.n.Load())
		require.NoError(w.t, err)
		w.n.Add(1)
	}
	require.NoError(w.t, conn.Close())
}

// TestAcceptJournalOverKills: over 40 kill -9 of the daemon with rotations, each entry has one alert, but for those that journald deleted
// while the daemon was down: these are counted exactly.
func TestAcceptJournalOverKills(t *testing.T) {
	j := testenv.NewJournald(t)
	s := newInstance(t)
	s.replace(`sources = ["syslog", "file"]`, fmt.Sprintf("sources = [\"journald\"]\njournal_paths = [%q]\ncheckpoint_interval_secs = 1", j.Persistent))
	w := &journalWriter{t: t, j: j}
	w.write(1) // before the daemon: it is not read
	j.Run(t, "", "journalctl", "--sync")
	s.start()
	s.eventually(func() bool { return s.journalState().Looked })
	before := w.n.Load()
	vacuums := 0
	for round := range journalKills {
		for range 4 {
			w.write(30)
			if rand.IntN(3) == 0 {
				j.Run(t, "", "journalctl", "--rotate")
			}
			time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond)
		}
		vacuum := round%4 == 3
		if vacuum { // what was processed after the last checkpoint would count as vacuumed unread, too
			tail := journalTail(t, j)
			s.eventually(func() bool { st := s.journalState(); return st.Tail >= tail && st.Unread == 0 })
		}
		s.kill()
		w.write(30)
		if rand.IntN(2) == 0 {
			j.Run(t, "", "journalctl", "--rotate")
			w.write(30)
		}
		if vacuum {
			j.Run(t, "", "journalctl", "--rotate")
			j.Run(t, "", "journalctl", "--vacuum-files=1")
			vacuums++
		}
		s.start()
	}
	w.write(1)
	last := fmt.Sprintf("file%d", w.n.Load()-1)
	s.eventually(func() bool { users, _ := s.firstAlertsByUser(); return users[last] > 0 })
	users, doubled := s.firstAlertsByUser()
	lost, twice := 0, 0
	for n := before; n < w.n.Load(); n++ {
		switch users[fmt.Sprintf("file%d", n)] {
		case 0:
			lost++
		case 1:
		default:
			twice++
		}
	}
	st := s.journalState()
	own := journalTail(t, j) - int(w.n.Load()) // entries of journald itself, some of which were vacuumed, too
	t.Logf("%d kills, %d vacuums: %d lines, %d without an alert (bar: all of them counted), %d counted as vacuumed, of which at most %d are of journald itself, number unknown %d times (bar 0), alerted twice %d (bar 0), ids doubled %d (bar 0)",
		journalKills, vacuums, w.n.Load(), lost, st.Vacuumed, own, st.VacuumedUnknown, twice, doubled)
	require.Zero(t, twice)
	require.Zero(t, doubled)
	require.Zero(t, st.VacuumedUnknown)
	require.LessOrEqual(t, lost, st.Vacuumed)
	require.LessOrEqual(t, st.Vacuumed, lost+own)
	require.Zero(t, users["file0"])
}

// journalState is what a checkpoint says of the journal.
type journalState struct {
	Looked          bool `json:"looked"`
	Vacuumed        int  `json:"vacuumed"`
	VacuumedUnknown int  `json:"vacuumed_unknown"`
	Files           map[string]struct{ Next, Entries, Tail int }
	Unread, Tail    int // of all files
}

func (s *instance) journalState() journalState {
	s.t.Helper()
	var c struct {
		Sources struct{ Journal journalState }
	}
	if text, err := os.ReadFile(s.path("data/log-pipeline/checkpoint.json")); err == nil {
		require.NoError(s.t, json.NewDecoder(bytes.NewReader(text)).Decode(&c)) // a line with its checksum follows
	}
	st := c.Sources.Journal
	for _, f := range st.Files {
		st.Unread += f.Entries - f.Next
		st.Tail = max(st.Tail, f.Tail)
	}
	return st
}

var cursorNumber = regexp.MustCompile(`;i=([0-9a-f]+);`)

// journalTail returns the sequence number of the newest entry.
func journalTail(t *testing.T, j *testenv.Journald) int {
	t.Helper()
	m := cursorNumber.FindStringSubmatch(j.Run(t, "", "journalctl", "--quiet", "-n", "1", "-o", "export"))
	require.NotNil(t, m)
	n, err := strconv.ParseInt(m[1], 16, 64)
	require.NoError(t, err)
	return int(n)
}
