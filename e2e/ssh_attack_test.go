package e2e_test

import (
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

const openSSH = "loghub/OpenSSH/OpenSSH_2k.log"

// failed matches a failed login in the real log, and its source.
var failed = regexp.MustCompile(`Failed password for .* from (\S+) port \d+ ssh2`)

// realLog returns the real log, with a newline at its end.
func realLog(t *testing.T) []byte {
	t.Helper()
	log, err := os.ReadFile(testenv.Data(t, openSSH))
	require.NoError(t, err)
	return append(log, '\n')
}

// firstAlerts returns the first alert of each window without the fields that depend on when
// and from where a line was read.
func firstAlerts(alerts []event.Alert) []event.Alert {
	var firsts []event.Alert
	for _, a := range alerts {
		if a.Update {
			continue
		}
		a.ID, a.TraceID, a.Series, a.Time, a.Received, a.Origin = "", "", "", time.Time{}, time.Time{}, nil
		a.FirstSeen, a.LastSeen = time.Time{}, time.Time{} // the lines are old, and came live: they have the time of their receipt
		firsts = append(firsts, a)
	}
	return firsts
}

// repeatedFailures returns the addresses with at least n failed logins.
func repeatedFailures(log string, n int) []string {
	counts := map[string]int{}
	var all []string
	for _, m := range failed.FindAllStringSubmatch(log, -1) {
		if counts[m[1]]++; counts[m[1]] == n {
			all = append(all, m[1])
		}
	}
	return all
}

// The main purpose of the suite: real lines in a watched file become alerts about the
// attackers in them.
func TestSSHAttackersAreSeenByAStockSubscriber(t *testing.T) {
	t.Parallel()
	log := realLog(t)
	s := newInstance(t)
	s.start()
	seen := s.nats("sub", "ironpost.alerts")
	s.eventually(func() bool { return strings.Contains(seen.String(), "Subscribing on ironpost.alerts") })
	s.append(log)

	attackers := repeatedFailures(string(log), 20)
	require.NotEmpty(t, attackers)
	for _, ip := range attackers {
		s.eventually(func() bool { return strings.Contains(seen.String(), `"ip":"`+ip+`"`) })
	}
	stored := sources(s.alerts())
	for _, ip := range attackers {
		require.Contains(t, stored, ip)
	}
	require.Zero(t, s.stop(syscall.SIGTERM))
}

// The same lines over UDP and TCP, each sent to a daemon of its own, give the same alerts
// as from a file.
func TestSyslogGivesTheSameAlerts(t *testing.T) {
	t.Parallel()
	log := realLog(t)
	inputs := map[string]func(*instance){
		"file": func(s *instance) { s.append(log) },
		"tcp":  func(s *instance) { s.send("tcp", log) },
		"udp":  func(s *instance) { s.send("udp", log) },
	}
	got := map[string][]event.Alert{}
	for name, send := range inputs {
		s := newInstance(t)
		s.start()
		send(s)
		s.append([]byte("Dec 10 11:05:01 LabSZ sshd[30000]: Accepted password for root from 192.0.2.99 port 4000 ssh2\n"))
		s.eventually(func() bool { return slices.Contains(sources(s.alerts()), "192.0.2.99") })
		got[name] = firstAlerts(s.alerts())
	}
	require.NotEmpty(t, got["file"])
	require.Equal(t, got["file"], got["tcp"])
	require.Equal(t, got["file"], got["udp"])
}

// send sends the lines one by one, in portions that fit any socket buffer, and waits
// until all were received.
func (s *instance) send(network string, log []byte) {
	s.t.Helper()
	s.eventually(func() bool { return strings.Contains(s.log.String(), `"transport":"`+network+`"`) })
	c, err := net.Dial(network, s.syslog)
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, c.Close()) }()
	sent := uint64(0)
	for portion := range slices.Chunk(slices.Collect(strings.Lines(string(log))), 250) {
		for _, line := range portion {
			_, err := c.Write([]byte(line))
			require.NoError(s.t, err)
		}
		sent += uint64(len(portion))
		s.eventually(func() bool { return s.counter("log-pipeline", "lines") >= sent })
	}
}

func sources(alerts []event.Alert) []string {
	var all []string
	for _, a := range alerts {
		if a.Source != nil {
			all = append(all, a.Source.IP)
		}
	}
	return all
}
