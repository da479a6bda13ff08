//go:build accept && linux

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// told is a reason as status --json shows it, with what it says about it.
type told struct {
	module, status, text, amount, advice string
	since                                time.Time
}

// toldReasons returns every reason that the status tells now.
func (s *instance) toldReasons() (out []told) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "ironpost"), "-c", s.path("ironpost.toml"), "status", "--json")
	raw, _ := cmd.Output() // the exit code depends on the health
	var status struct {
		Modules []struct {
			Name, Status string
			Details      []struct {
				Status, Text, Amount, Advice string
				Since                        time.Time
			}
		}
	}
	require.NoError(s.t, json.Unmarshal(raw, &status), "%s", raw)
	for _, m := range status.Modules {
		if m.Status == "off" {
			continue
		}
		for _, d := range m.Details {
			out = append(out, told{m.Name, d.Status, d.Text, d.Amount, d.Advice, d.Since})
		}
	}
	return out
}

// requireTold waits for a reason of module that contains text, and requires of it, in JSON and in the table, since when, what to do, and, if
// counted, how much.
func (s *instance) requireTold(row, module, text string, counted bool) {
	s.t.Helper()
	began := time.Now()
	var got told
	s.eventually(func() bool {
		all := s.toldReasons()
		i := slices.IndexFunc(all, func(r told) bool { return r.module == module && strings.Contains(r.text, text) })
		if i >= 0 {
			got = all[i]
		}
		return i >= 0
	})
	require.False(s.t, got.since.IsZero(), row)
	require.NotEmpty(s.t, got.advice, "%s: %s", row, got.text)
	if counted {
		require.NotEmpty(s.t, got.amount, "%s: %s", row, got.text)
	}
	out, _ := exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "ironpost"), "-c", s.path("ironpost.toml"), "status").Output()
	for line := range strings.Lines(string(out)) {
		require.LessOrEqual(s.t, utf8.RuneCountInString(strings.TrimRight(line, "\n")), 80, line)
	}
	table := strings.Join(strings.Fields(string(out)), " ")
	require.Contains(s.t, table, module+" on stage", row)
	require.Contains(s.t, table, "do: "+strings.Join(strings.Fields(got.advice), " "), row)
	s.t.Logf("%s: shown after %.1f s as %s of %s since %s, amount %q: %.100s; do: %.80s (bar: text and JSON have module, since, what to do)",
		row, time.Since(began).Seconds(), got.status, got.module, got.since.Format(time.RFC3339), got.amount, got.text, got.advice)
}

// set adds keys to the section [log_pipeline], which is the last one.
func (s *instance) set(text string) {
	s.t.Helper()
	old, err := os.ReadFile(s.path("ironpost.toml"))
	require.NoError(s.t, err)
	s.write("ironpost.toml", string(old)+text+"\n")
}

// Each way of being blind or of losing is produced with the real daemon, and told.
func TestAcceptHostileHostTruth(t *testing.T) {
	t.Run("no input", func(t *testing.T) {
		s := newInstance(t)
		require.NoError(t, os.Remove(s.path("auth.log")))
		s.start()
		s.requireTold("no input exists", "log-pipeline", "no input exists", true)
	})
	t.Run("quiet", func(t *testing.T) {
		s := newInstance(t)
		s.set("quiet_after_secs = 5")
		s.start()
		for began := time.Now(); time.Since(began) < 125*time.Second; time.Sleep(500 * time.Millisecond) { // it needs a past
			s.append([]byte(rootShell("regular")))
		}
		s.requireTold("an input is quiet against its own past", "log-pipeline", "has brought no line for", true)
	})
	t.Run("unparsed", func(t *testing.T) {
		s := newInstance(t)
		s.start()
		s.append([]byte(strings.Repeat("an unknown format of a program\n", 300)))
		s.requireTold("lines of no known format (a remark of a source that is not trusted)", "log-pipeline", "are of no known format", true)
	})
	t.Run("refused frames", func(t *testing.T) {
		s := newInstance(t)
		s.start()
		conn, err := net.Dial("tcp", s.syslog)
		require.NoError(t, err)
		_, err = conn.Write([]byte("9999999 <13>not a frame\n"))
		require.NoError(t, errors.Join(err, conn.Close()))
		s.requireTold("refusals", "log-pipeline", "losses were counted", true)
	})
	t.Run("rules and reload", func(t *testing.T) {
		s := newInstance(t)
		rules := s.path("rules")
		s.write("rules/windows.yml", "title: For Windows\nlogsource:\n  product: windows\ndetection:\n  words: [x]\n  condition: words\nlevel: low\n")
		s.write("rules/broken.yml", "title: 7\n")
		s.set(fmt.Sprintf("rules_path = %q", rules))
		s.start()
		s.requireTold("rules that failed to load", "log-pipeline", "rule files not loaded", true)
		s.requireTold("rules that can hardly fire (a remark)", "log-pipeline", "that nothing here produces", true)
		require.NoError(t, s.daemon.Process.Signal(syscall.SIGHUP))
		s.requireTold("refused reload because of a rule", "configuration", "reload refused at", false)
		require.NoError(t, os.Remove(s.path("rules/broken.yml")))
		s.write("rules/mine.yml", "title: Came Later\nlogsource:\n  product: linux\ndetection:\n  words: [x]\n  condition: words\nlevel: low\n")
		require.NoError(t, s.daemon.Process.Signal(syscall.SIGHUP))
		s.eventually(func() bool { return strings.Contains(s.log.String(), `"rules_came":"Came Later"`) })
		s.eventually(func() bool {
			return !slices.ContainsFunc(s.toldReasons(), func(r told) bool { return r.module == "configuration" })
		})
		text, err := os.ReadFile(s.path("ironpost.toml"))
		require.NoError(t, err)
		s.write("ironpost.toml", string(text)+"[broken\n")
		require.NoError(t, s.daemon.Process.Signal(syscall.SIGHUP))
		s.requireTold("refused reload, and the file on disk is broken", "configuration", "reload refused at", false)
	})
	t.Run("blocks", func(t *testing.T) {
		s := newInstance(t)
		s.start()
		out, errs, code := s.command("blocklist", "add", "203.0.113.9", "--for", "1h")
		require.Zero(t, code, "%s%s", out, errs)
		s.requireTold("blocks that nothing enforces", "bus", "nothing enforces them", true)
	})
	t.Run("engine", func(t *testing.T) {
		s := newInstance(t)
		s.set("[ebpf]\nenabled = true\ninterface = \"ironpost-none\"")
		s.start()
		s.requireTold("an interface that is not there", "ebpf-engine", "is not there", false)
	})
	t.Run("guard", func(t *testing.T) {
		s := newInstance(t)
		s.set(fmt.Sprintf("[container]\nenabled = true\ndocker_socket = %q\npolicy_path = %q", s.path("no-docker.sock"), s.path("no-policies")))
		s.start()
		s.requireTold("a missing neighbour", "container-guard", "containers are not acted on", false)
		s.requireTold("no policies", "container-guard", "there are no policies", false)
	})
}

// A quiet host has no reason at all. IRONPOST_QUIET_FOR is how long it is watched.
func TestAcceptHostileHostQuiet(t *testing.T) {
	long := 2 * time.Hour
	if text := os.Getenv("IRONPOST_QUIET_FOR"); text != "" {
		var err error
		long, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	s := newInstance(t)
	s.start()
	checks := 0
	for began := time.Now(); time.Since(began) < long; time.Sleep(10 * time.Second) {
		if checks%60 == 0 { // as a cron job does
			s.append([]byte(time.Now().Format("Jan _2 15:04:05") + " stage CRON[4711]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)\n"))
		}
		require.Empty(t, s.toldReasons())
		checks++
	}
	t.Logf("%d looks at the status of a quiet host in %v: 0 reasons (bar 0)", checks, long)
	require.Positive(t, checks)
}
