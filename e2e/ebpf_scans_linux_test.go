package e2e_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// scan is one run of nmap, and the alert expected of it.
type scan struct {
	args, target  string
	title, method string
}

// unknownHosts are addresses of the victim's network of which most do not exist.
const unknownHosts = "10.90.3.60-200"

// scans returns those that end within seconds. Each is sent from an address of its own.
func scans() []scan {
	const ports = " -p 1-200"
	return []scan{
		{"-sS" + ports, victim4, "Port Scan", "syn"},
		{"-sF" + ports, victim4, "Port Scan", "fin"},
		{"-sN" + ports, victim4, "Port Scan", "null"},
		{"-sX" + ports, victim4, "Port Scan", "xmas"},
		{"-sA" + ports, victim4, "Port Scan", "ack"},
		{"-sW" + ports, victim4, "Port Scan", "ack"},
		{"-sM" + ports, victim4, "Port Scan", "ack"},
		{"-sU" + ports, victim4, "Port Scan", "udp"},
		{"-sO -p 2-5,7-16,18-43,60-100", victim4, "Port Scan", "protocol"},
		{"-sY" + ports, victim4, "Port Scan", "sctp-init"},
		{"-sZ" + ports, victim4, "Port Scan", "sctp-cookie"},
		{"-sS --scanflags SYNACK" + ports, victim4, "Port Scan", "syn-ack"},
		{"-sS --scanflags RST" + ports, victim4, "Port Scan", "rst"},
		{"-sS -f" + ports, victim4, "Port Scan", "fragment"},
		{"-sn -PP", unknownHosts, "Host Scan", "icmp"},
		{"-sn -PM", unknownHosts, "Host Scan", "icmp"},
		{"-sn -PE", unknownHosts, "Host Scan", "icmp"},
		{"-6 -sS" + ports, victim6, "Port Scan", "syn"},
		{"-6 -sF" + ports, victim6, "Port Scan", "fin"},
		{"-6 -sN" + ports, victim6, "Port Scan", "null"},
		{"-6 -sX" + ports, victim6, "Port Scan", "xmas"},
		{"-6 -sA" + ports, victim6, "Port Scan", "ack"},
		{"-6 -sU" + ports, victim6, "Port Scan", "udp"},
		{"-sS" + ports, vlan4, "Port Scan", "syn"},
		{"-sU" + ports, vlan4, "Port Scan", "udp"},
	}
}

func TestScans(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	for n, c := range scans() {
		source := source4(n)
		if strings.Contains(c.args, "-6") {
			source = source6(n)
		}
		args := strings.Fields(c.args + " -n --max-retries 1 -e wan -S " + source + " " + c.target)
		if !strings.Contains(c.args, "-sn") {
			args = append(args, "-Pn")
		}
		l.attack("nmap", args...)
		t.Logf("nmap %s from %s", c.args, source)
		a := s.waitForAlert(c.title, source, strings.TrimSuffix(c.target, "60-200"))
		require.Contains(t, strings.Join(a.Evidence, "\n"), c.method, "nmap %s: %+v", c.args, a)
	}
}

// The scanner connects, as far as the victim lets it.
func TestConnectScan(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	l.listen(victim4, 22, 80)
	l.attack("nmap", "-sT", "-n", "-Pn", "--max-retries", "1", "-p", "1-200", victim4)
	s.waitForAlert("Port Scan", attacker4, victim4)
}

func TestSweep(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	l.attack("nmap", "-sn", "-PE", "-n", "10.90.3.1-64")
	a := s.waitForAlert("Host Scan", attacker4, "10.90.3.")
	require.Contains(t, strings.Join(a.Evidence, "\n"), "icmp", "%+v", a)
}

// The alert says of each address of a scan with decoys that it may be one.
func TestDecoys(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	decoys := []string{"10.90.1.200", "192.0.2.7", "198.51.100.9"}
	l.attack("nmap", "-sS", "-n", "-Pn", "--max-retries", "1", "-p", "1-300", "-D", strings.Join(decoys, ",")+",ME", victim4)
	for _, source := range append(decoys, attacker4) {
		a := s.waitForAlert("Port Scan", source, victim4)
		require.Contains(t, strings.Join(a.Evidence, "\n"), "may be a decoy", "%+v", a)
	}
}

func TestFastScanners(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	l.attack("masscan", "-p1-200", victim4, "--rate", "200", "--wait", "0", "-e", "wan", "--source-ip", source4(0))
	s.waitForAlert("Port Scan", source4(0), victim4)
	l.attack("zmap", "-q", "-p", "445", "-r", "200", "-c", "1", "-i", "wan", "-S", source4(1), "-G", l.gateway(), "-b", "/dev/null", "-o", "/dev/null", "10.90.3.0/24")
	s.waitForAlert("Host Scan", source4(1), "10.90.3.")
}

// gateway returns the hardware address of the attacker's gateway.
func (l *lab) gateway() string {
	l.t.Helper()
	var address string
	l.enter(l.router, func() {
		i, err := net.InterfaceByName("left")
		if err == nil {
			address = i.HardwareAddr.String()
		}
	})
	require.NotEmpty(l.t, address)
	return address
}

// Each of many addresses of a /64 probes a few ports: the scanner is the network.
func TestScanByNetwork(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	const addresses, each = 45, 5
	var g sync.WaitGroup
	errs := make([]error, addresses)
	for n := range addresses {
		g.Go(func() {
			errs[n] = command(inNamespace(l.attacker, "nmap", "-6", "-sS", "-n", "-Pn", "--max-retries", "0", "-e", "wan",
				"-S", fmt.Sprintf("fd90:1::1:%x", n+1), "-p", fmt.Sprintf("%d-%d", 1+n*each, n*each+each), victim6)...)
		})
	}
	g.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	a := s.waitForAlert("Port Scan", "", victim6)
	require.Contains(t, strings.Join(a.Evidence, "\n"), "by fd90:1::/64", "%+v", a)
}

// What the victim itself scans is told, too.
func TestOutboundScan(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	require.NoError(t, command(inNamespace(l.victim, "nmap", "-sS", "-n", "-Pn", "--max-retries", "1", "-p", "1-200", attacker4)...))
	s.waitForAlert("Outbound Scan", victim4, attacker4)
}

// Clients whose connections are answered are no scanners, however many ports and addresses they use.
func TestBusyClientsAreNoScanners(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	var many, virtual []string
	for n := range 60 {
		l.listen(victim4, 20_000+n)
		many = append(many, fmt.Sprintf("%s:%d", victim4, 20_000+n))
	}
	for n := range 20 {
		l.listen(labHost(n), 443)
		virtual = append(virtual, labHost(n)+":443")
	}
	for n, c := range []struct {
		name    string
		targets []string
		times   int
		gap     time.Duration
	}{
		{"passive ftp", many[:30], 30, 200 * time.Millisecond},
		{"an office behind NAT", many, 600, time.Millisecond},
		{"a health checker", many[:12], 120, 50 * time.Millisecond},
		{"virtual hosts", virtual, 60, 10 * time.Millisecond},
		{"no keep-alive", many[:1], 3000, 0},
	} {
		began := time.Now()
		l.connect(source4(n), c.targets, c.times, c.gap)
		t.Logf("%s: %d connections in %v", c.name, c.times, time.Since(began).Round(time.Millisecond))
	}
	const last = labSources - 1
	l.attack("nmap", "-sS", "-n", "-Pn", "--max-retries", "1", "-e", "wan", "-S", source4(last), "-p", "1-200", victim4)
	s.waitForAlert("Port Scan", source4(last), victim4)
	for _, a := range s.alerts() {
		require.Equal(t, source4(last), sourceOf(&a), "%+v", a)
	}
}

// listen accepts connections of the victim and closes them after a line.
func (l *lab) listen(address string, ports ...int) {
	l.t.Helper()
	for _, port := range ports {
		var server net.Listener
		var err error
		l.enter(l.victim, func() {
			server, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), uint16(port))))
		})
		require.NoError(l.t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				client, err := server.Accept()
				if err != nil {
					return
				}
				_, _ = client.Write([]byte("220 ready\r\n"))
				_ = client.Close()
			}
		}()
		l.t.Cleanup(func() { _ = server.Close(); <-done })
	}
}

// connect connects from an address to targets in turn, and reads a line each time.
func (l *lab) connect(source string, targets []string, times int, gap time.Duration) {
	l.t.Helper()
	var failed error
	l.enter(l.attacker, func() {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: 10 * time.Second}
		for n := range times {
			connection, err := dialer.DialContext(l.t.Context(), "tcp", targets[n%len(targets)])
			if err == nil {
				_, err = connection.Read(make([]byte, 16))
				_ = connection.Close()
			}
			if err != nil {
				failed = err
				return
			}
			time.Sleep(gap) // the pace is part of the case
		}
	})
	require.NoError(l.t, failed)
}

// The alert of a flood from random sources names the target and no source.
func TestSpoofedFlood(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	path, err := exec.LookPath("hping3")
	testenv.Require(t, "hping3", err)
	_ = command(inNamespace(l.attacker, "timeout", "60", path, "-q", "--flood", "-c", "100000", "--rand-source", "-S", "-p", "80", victim4)...) // fails without replies
	a := s.waitForAlert("SYN Flood", "", victim4)
	require.Contains(t, strings.Join(a.Evidence, "\n"), "spoofed", "%+v", a)
	for _, other := range s.alerts() {
		require.Empty(t, sourceOf(&other), "no alert names a source: %+v", other)
	}
	require.Less(t, s.counter("ebpf-engine", "published"), uint64(600*10))
}
