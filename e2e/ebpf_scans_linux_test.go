package e2e_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// scan is one run of nmap, and the alert expected of it.
type scan struct {
	args, target  string
	title, method string
}

// scans returns those that end within seconds. Each is sent from an address of its own.
func scans() []scan {
	const ports = " -p 1-200"
	return []scan{
		{"-sS" + ports, victim4, "Port Scan", "syn"},
		{"-sF" + ports, victim4, "Port Scan", "fin"},
		{"-sN" + ports, victim4, "Port Scan", "null"},
		{"-sX" + ports, victim4, "Port Scan", "xmas"},
		{"-sU" + ports, victim4, "Port Scan", "udp"},
		{"-6 -sS" + ports, victim6, "Port Scan", "syn"},
		{"-6 -sF" + ports, victim6, "Port Scan", "fin"},
		{"-6 -sN" + ports, victim6, "Port Scan", "null"},
		{"-6 -sX" + ports, victim6, "Port Scan", "xmas"},
		{"-6 -sU" + ports, victim6, "Port Scan", "udp"},
		{"-sS" + ports, vlan4, "Port Scan", "syn"},
		{"-sU" + ports, vlan4, "Port Scan", "udp"},
		{"-sS -f" + ports, victim4, "Port Scan", "fragment"},
	}
}

func TestScans(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	for n, c := range scans() {
		source := source4(n)
		if strings.Contains(c.target, ":") {
			source = source6(n)
		}
		args := strings.Fields(c.args + " -n -Pn --max-retries 1 -e wan -S " + source + " " + c.target)
		l.attack("nmap", args...)
		t.Logf("nmap %s from %s", c.args, source)
		a := s.waitForAlert(c.title, source, c.target)
		require.Contains(t, strings.Join(a.Evidence, "\n"), c.method, "nmap %s: %+v", c.args, a)
	}
}

func TestSweep(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	l.attack("nmap", "-sn", "-PE", "-n", "10.90.3.1-64")
	a := s.waitForAlert("Host Scan", attacker4, "10.90.3.")
	require.Contains(t, strings.Join(a.Evidence, "\n"), "icmp", "%+v", a)
}

// The alert of a flood from random sources names the target and no source.
func TestSpoofedFlood(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	path, err := exec.LookPath("hping3")
	testenv.Require(t, "hping3", err)
	_ = command(inNamespace(l.attacker, "timeout", "4", path, "--flood", "--rand-source", "-S", "-p", "80", victim4)...) // ended by timeout
	a := s.waitForAlert("SYN Flood", "", victim4)
	require.Contains(t, strings.Join(a.Evidence, "\n"), "spoofed", "%+v", a)
	for _, other := range s.alerts() {
		require.Empty(t, sourceOf(&other), "no alert names a source: %+v", other)
	}
	require.Less(t, s.counter("ebpf-engine", "published"), uint64(600*10))
}
