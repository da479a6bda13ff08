//go:build accept

package e2e_test

import (
	"errors"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// forge lets hping3 send from random addresses to its end, or for some seconds at most.
func (l *lab) forge(seconds, args string) {
	l.t.Helper()
	path, err := exec.LookPath("hping3")
	testenv.Require(l.t, "hping3", err)
	all := append([]string{"timeout", seconds, path, "-q", "-I", "wan", "--rand-source"}, strings.Fields(args)...)
	out, err := exec.CommandContext(l.t.Context(), "nsenter", inNamespace(l.attacker, all...)[1:]...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // hping3 fails without replies, timeout if it ended it
		require.NoError(l.t, err, "%s", out)
	}
}

// evidenceOf waits for an alert of a flood from forged sources, and returns its evidence.
func (s *instance) evidenceOf(title, target string) string {
	s.t.Helper()
	return strings.Join(s.waitForAlert(title, "", target).Evidence, "\n")
}

func TestGREFlood(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	l.forge("4", "--rawip --ipproto 47 -d 64 --flood "+victim4)
	require.Contains(t, s.evidenceOf("IP Protocol Flood", victim4), "gre")
	s.requireNoSources()
}

// 2,000 echo requests within a part of a second are fewer than the limit for three seconds allows.
func TestBurstFlood(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	l.forge("10", "--icmp -c 2000 --flood "+victim4)
	require.Contains(t, s.evidenceOf("ICMP Flood", victim4), "burst_ms")
	s.requireNoSources()
}

// Each of 256 addresses gets a few packets per second.
func TestCarpetBombing(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	l.forge("8", "--icmp --rand-dest --flood 10.90.3.x")
	s.evidenceOf("ICMP Flood", "10.90.3.0/24")
	s.requireNoSources()
}

// Large answers that nobody asked for, from ports of services that are not known to be misused, or rarely: no reflector is an actor.
func TestReflectionFromUnlistedPorts(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	for port, protocol := range map[string]string{"4500": "isakmp", "5093": "sentinel", "10074": "tp240", "32414": "plex", "9999": "udp-9999"} {
		l.forge("15", "--udp --baseport "+port+" --keep --destport 40000 -d 600 -i u500 -c 8000 "+victim4)
		s.eventually(func() bool {
			for _, a := range s.alerts() {
				if strings.Contains(strings.Join(a.Evidence, "\n"), protocol) {
					return true
				}
			}
			return false
		})
		t.Logf("reflection from UDP port %s: told as %s", port, protocol)
	}
	s.requireNoSources()
}

func TestFloodsOfTwoTargetsAreTwoSeries(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	var g sync.WaitGroup
	for _, args := range []string{"-S --destport 80 " + victim4, "-S --destport 443 " + labHost(0)} {
		g.Go(func() { l.forge("6", "--flood "+args) })
	}
	g.Wait()
	one, other := s.waitForAlert("SYN Flood", "", victim4), s.waitForAlert("SYN Flood", "", labHost(0))
	require.NotEmpty(t, one.Series)
	require.NotEqual(t, one.Series, other.Series)
	require.EqualValues(t, 80, one.Target.Port)
	require.EqualValues(t, 443, other.Target.Port)
	s.requireNoSources()
}

// A host that floods another, which answers nothing, is named, with its target.
func TestOutboundFloods(t *testing.T) {
	l := newLab(t)
	s := newInstance(t)
	s.wrap = inNamespace(l.victim)
	s.enableEngine("[ebpf.detect]\nudp_flood_pps = 2000 # a busy machine sends no more\n")
	s.start()
	l.run(l.router, "ip route add 203.0.113.0/24 via "+attacker4) // which drops it
	path, err := exec.LookPath("hping3")
	testenv.Require(t, "hping3", err)
	for target, c := range map[string][2]string{
		"203.0.113.1": {"syn_flood", "-S -p 80 --flood"},
		"203.0.113.2": {"udp_flood", "--udp -p 7777 --flood"},
		"203.0.113.3": {"icmp_flood", "--icmp --flood"},
	} {
		args := append([]string{"timeout", "10", path, "-q", "-I", "wan", "-a", victim4}, strings.Fields(c[1])...)
		_ = command(inNamespace(l.victim, append(args, target)...)...) // fails without replies
		a := s.waitForAlert("Outbound Flood", victim4, target)
		require.Contains(t, strings.Join(a.Evidence, "\n"), "outbound "+c[0])
		t.Logf("%s: %s", c[0], a.Evidence)
	}
	for _, a := range s.alerts() {
		require.Equal(t, "Outbound Flood", a.Rule.Title, "%+v", a)
	}
}

// requireNoSources requires that no alert names an address that may be forged or misused.
func (s *instance) requireNoSources() {
	s.t.Helper()
	var named []event.Alert
	for _, a := range s.alerts() {
		if sourceOf(&a) != "" {
			named = append(named, a)
		}
	}
	require.Empty(s.t, named)
}
