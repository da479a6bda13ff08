package detect_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// A flood over many ports or hosts is no scan besides, and a scan of all ports, however fast, is no flood.
func TestOneAttackIsScanOrFlood(t *testing.T) {
	t.Parallel()
	hosts := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + i%200)}) }
	for name, c := range map[string]struct {
		rate    int
		seconds float64
		send    func(s *stage, i int)
		want    string
	}{
		"udp to any port":                      {50_000, 5, func(s *stage, i int) { s.udp(at(evil, 4000), at(home, 1+s.rnd.IntN(60_000)), 100) }, "udp_flood/ 203.0.113.66 > 198.51.100.5"},
		"udp to any port, outgoing":            {50_000, 5, func(s *stage, i int) { s.sendUDP(at(home, 40_000), at(victim, 1+s.rnd.IntN(60_000)), 600) }, "udp_flood/ 198.51.100.5 > 203.0.113.80"},
		"udp to all ports once":                {25_000, 2.4, func(s *stage, i int) { s.udp(at(evil, 4000), at(home, 1+i), 60) }, "port_scan/udp 203.0.113.66 > 198.51.100.5"},
		"udp to all ports once, outgoing":      {25_000, 2.4, func(s *stage, i int) { s.sendUDP(at(home, 40_000), at(victim, 1+i), 60) }, "port_scan/udp 198.51.100.5 > 203.0.113.80"},
		"syn over a network, outgoing":         {3000, 5, func(s *stage, i int) { s.sendTCP(traffic.TCPSYN, at(home, 1024+i%60_000), at(hosts(i), 80)) }, "syn_flood/ 198.51.100.5 > 203.0.113.0/24:80"},
		"pings over a network, outgoing":       {3000, 5, func(s *stage, i int) { s.sendPing(home, hosts(i)) }, "icmp_flood/ 198.51.100.5 > 203.0.113.0/24"},
		"syn to a port of each host, outgoing": {100, 3, func(s *stage, i int) { s.sendTCP(traffic.TCPSYN, at(home, 1024+i), at(host("203.0", i), 80)) }, "host_scan/syn 198.51.100.5 > 203.0.0.1:80"},
		"syn over a network":                   {3000, 5, func(s *stage, i int) { s.tcp(traffic.TCPSYN, at(evil, 1024+i%60_000), at(hosts(i), 80)) }, "syn_flood/ 203.0.113.66 > 203.0.113.0/24:80"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScaledStage(t)
			s.flood(c.rate, time.Duration(c.seconds*float64(time.Second)), func(i int) { c.send(s, i) })
			s.until(s.now.Add(10 * time.Second))
			require.Equal(t, []string{c.want}, summaries(s.finish()))
		})
	}
}

// A slow scan before it hides no flood over many ports.
func TestFloodAfterAScanIsTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		send func(s *stage, port int)
		want []string
	}{
		"incoming": {func(s *stage, port int) { s.udp(at(evil, 4000), at(home, port), 100) }, []string{"port_scan/udp 203.0.113.66 > 198.51.100.5", "udp_flood/ 203.0.113.66 > 198.51.100.5"}},
		"outgoing": {func(s *stage, port int) { s.sendUDP(at(home, 40_000), at(victim, port), 600) }, []string{"port_scan/udp 198.51.100.5 > 203.0.113.80", "udp_flood/ 198.51.100.5 > 203.0.113.80"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScaledStage(t)
			s.flood(20, 10*time.Second, func(i int) { c.send(s, 1+i) })
			began := s.now
			s.flood(20_000, 10*time.Second, func(int) { c.send(s, 1+s.rnd.IntN(60_000)) })
			s.until(s.now.Add(10 * time.Second))
			found := s.finish()
			require.Equal(t, c.want, summaries(found))
			i := slices.IndexFunc(found, func(d detect.Detection) bool { return d.Name == detect.UDPFlood })
			require.InDelta(t, 7, found[i].Time.Sub(began).Seconds(), 2)
		})
	}
}
