package detect_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

func TestScanOfEachMethod(t *testing.T) {
	t.Parallel()
	for name, class := range map[string]traffic.Class{
		"syn": traffic.TCPSYN, "fin": traffic.TCPFIN, "null": traffic.TCPNull, "xmas": traffic.TCPXmas, "ack": traffic.TCPACK,
		"udp": traffic.UDP, "fragment": traffic.Fragment, "other": traffic.TCPOther,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireBoth(t, func(s *stage) { s.scan(class, home, ports(1000), time.Millisecond) }, "port_scan/"+name+" 203.0.113.66 > 198.51.100.5")
		})
	}
}

// A default nmap scan takes about a second. It is reported within the next, and the last
// record has the sums.
func TestDefaultNmapScanIsFoundWithinSeconds(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	s.scan(traffic.TCPSYN, home, ports(1000), 2*time.Millisecond)
	found := s.finish()
	require.Less(t, found[0].Time.Sub(start), 2*time.Second)
	require.Equal(t, detect.PhaseBegun, found[0].Phase)
	last := found[len(found)-1]
	require.Equal(t, detect.PhaseOver, last.Phase)
	require.InEpsilon(t, 1000, last.Counts["ports"], 0.1)
	require.InEpsilon(t, 1000, last.Counts["probes"], 0.1)
	require.InEpsilon(t, 1000, last.Counts["refused"], 0.1)
	require.EqualValues(t, 1, last.Counts["hosts"])
	require.InDelta(t, 2000, last.DurationMS, 100)
	require.NotEmpty(t, last.Ports)
	require.Empty(t, last.Lacking)
}

func TestSlowScansAreFoundWhileTheyRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		gap    time.Duration
		ports  int
		within time.Duration
	}{{15 * time.Second, 30, 3 * time.Minute}, {time.Minute, 60, 30 * time.Minute}, {10 * time.Minute, 20, 2 * time.Hour}} {
		t.Run(c.gap.String(), func(t *testing.T) {
			t.Parallel()
			requireBoth(t, func(s *stage) {
				s.scan(traffic.TCPSYN, home, ports(c.ports), c.gap)
				s.until(s.now.Add(time.Second))
				require.NotEmpty(s.t, s.found)
				require.LessOrEqual(s.t, s.found[0].Time.Sub(start), c.within)
			}, "slow_scan/syn 203.0.113.66 > 198.51.100.5")
		})
	}
}

func TestHostScans(t *testing.T) {
	t.Parallel()
	requireBoth(t, func(s *stage) {
		for i := range 64 {
			s.wait(10 * time.Millisecond)
			s.see(packet{at: s.now, src: at(evil, 0), dst: at(host("10.1", i), 0x0800), class: traffic.ICMPEcho, proto: 1, bytes: 42})
		}
	}, "host_scan/icmp 203.0.113.66 > 10.1.0.1")
	requireBoth(t, func(s *stage) {
		for i := range 40 {
			s.wait(10 * time.Millisecond)
			s.tcp(traffic.TCPSYN, at(evil, 40_000+i), at(host("10.1", i), 445))
		}
	}, "host_scan/syn 203.0.113.66 > 10.1.0.1:445")
	requireBoth(t, func(s *stage) {
		for i := range 64 {
			for range 3 {
				s.wait(10 * time.Millisecond)
				s.udp(at(evil, 40_000), at(host("10.1", i), 161), 80)
			}
		}
	}, "host_scan/udp 203.0.113.66 > 10.1.0.1:161")
}

func TestBlockScanIsOneDetection(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	for _, p := range ports(100) {
		for i := range 40 {
			s.wait(100 * time.Microsecond)
			s.tcp(traffic.TCPSYN, at(evil, 40_125), at(host("10.1", i), p))
			s.refuse(at(host("10.1", i), p), at(evil, 40_125))
		}
	}
	names := summaries(s.finish())
	require.LessOrEqual(t, len(names), 5, "%v", names)
	require.Contains(t, names[len(names)-1], "block_scan/syn 203.0.113.66")
}

func TestSecondScanIsNotHidden(t *testing.T) {
	t.Parallel()
	other, second := netip.MustParseAddr("198.51.100.6"), netip.MustParseAddr("203.0.113.67")
	requireBoth(t, func(s *stage) {
		s.scan(traffic.TCPSYN, home, ports(200), time.Millisecond)
		s.scan(traffic.TCPSYN, other, ports(200), time.Millisecond) // another target
		s.scan(traffic.TCPFIN, home, ports(200), time.Millisecond)  // another method
		for _, p := range ports(200) {                              // another actor
			s.wait(time.Millisecond)
			s.tcp(traffic.TCPSYN, at(second, 40_000), at(home, p))
			s.refuse(at(home, p), at(second, 40_000))
		}
	},
		"port_scan/syn 203.0.113.66 > 198.51.100.5", "port_scan/syn 203.0.113.66 > 198.51.100.6",
		"port_scan/fin 203.0.113.66 > 198.51.100.5", "port_scan/syn 203.0.113.67 > 198.51.100.5")
}

func TestAttackIsReportedAtGrowingIntervals(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	for i := range 3000 {
		s.scan(traffic.TCPSYN, home, []int{1 + i}, 100*time.Millisecond)
	}
	end := s.now
	s.until(s.now.Add(5 * time.Minute))
	require.Equal(t, []string{"port_scan/syn 203.0.113.66 > 198.51.100.5"}, summaries(s.found))
	wait := time.Duration(0)
	for i, f := range s.found[1 : len(s.found)-1] {
		gap := f.Time.Sub(s.found[i].Time)
		require.LessOrEqual(t, gap, 60*time.Second)
		require.GreaterOrEqual(t, gap, wait)
		require.Equal(t, detect.PhaseOngoing, f.Phase)
		require.EqualValues(t, i+2, f.Counts["announcement"])
		wait = gap
	}
	last := s.found[len(s.found)-1]
	require.Equal(t, detect.PhaseOver, last.Phase)
	require.LessOrEqual(t, last.Time.Sub(end), 32*time.Second)
	require.Less(t, len(s.found), 15)
	ids := map[string]bool{}
	for _, f := range s.found {
		require.Equal(t, s.found[0].Packet("h").TraceID, f.Packet("h").TraceID)
		ids[f.Packet("h").ID] = true
	}
	require.Len(t, ids, len(s.found))
}
