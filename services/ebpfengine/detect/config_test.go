package detect_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// newStageWith is newStage with other thresholds.
func newStageWith(t testing.TB, change func(*detect.Config)) *stage {
	t.Helper()
	cfg := detect.DefaultConfig()
	change(&cfg)
	require.Empty(t, cfg.Validate())
	s := newStage(t, withEgress)
	s.sensor = newSensor(t, cfg, withEgress)
	return s
}

// With another value of a key the same traffic is no attack, or another one.
func TestEachKeyHasEffect(t *testing.T) {
	t.Parallel()
	syn := func(s *stage, n int) { s.scan(traffic.TCPSYN, home, ports(n), time.Millisecond) }
	hosts := func(n int) func(s *stage) {
		return func(s *stage) {
			for i := range n {
				s.wait(time.Millisecond)
				s.tcp(traffic.TCPSYN, at(evil, 1024), at(host("10.1", i), 445))
			}
		}
	}
	pings := func(n int) func(s *stage) {
		return func(s *stage) {
			for i := range n {
				s.wait(time.Millisecond)
				s.ping(evil, host("10.1", i))
			}
		}
	}
	flood := func(rate int, class traffic.Class, proto uint8) func(s *stage) {
		port := 9
		if class == traffic.ICMPEcho {
			port = echoRequest
		}
		return func(s *stage) {
			s.flood(rate, 4*time.Second, func(i int) {
				s.see(packet{at: s.now, src: at(s.randomAddr(), 1024+i%60_000), dst: at(home, port), class: class, proto: proto, bytes: 60, fragment: class == traffic.Fragment})
			})
		}
	}
	for key, c := range map[string]struct {
		play          func(s *stage)
		change        func(*detect.Config)
		before, after []string
	}{
		"ScanPorts":  {func(s *stage) { syn(s, 12) }, func(c *detect.Config) { c.ScanPorts = 20 }, []string{"port_scan/syn 203.0.113.66 > 198.51.100.5"}, nil},
		"ScanHosts":  {hosts(9), func(c *detect.Config) { c.ScanHosts = 20 }, []string{"host_scan/syn 203.0.113.66 > 10.1.0.1:445"}, nil},
		"SweepHosts": {pings(12), func(c *detect.Config) { c.SweepHosts = 10 }, nil, []string{"host_scan/icmp 203.0.113.66 > 10.1.0.1"}},
		"ScanMemorySecs": {
			func(s *stage) { s.scan(traffic.TCPSYN, home, ports(14), 10*time.Minute) }, func(c *detect.Config) { c.ScanMemorySecs = 3600 },
			[]string{"slow_scan/syn 203.0.113.66 > 198.51.100.5"},
			nil,
		},
		"SlowGapSecs": {
			func(s *stage) { s.scan(traffic.TCPSYN, home, ports(14), 10*time.Second) }, func(c *detect.Config) { c.SlowGapSecs = 20 },
			[]string{"slow_scan/syn 203.0.113.66 > 198.51.100.5"},
			[]string{"port_scan/syn 203.0.113.66 > 198.51.100.5"},
		},
		"SYNFloodPPS":      {flood(100, traffic.TCPSYN, 6), func(c *detect.Config) { c.SYNFloodPPS = 1000 }, []string{"syn_flood/ spoofed > 198.51.100.5:9"}, nil},
		"UDPFloodPPS":      {flood(2000, traffic.UDP, 17), func(c *detect.Config) { c.UDPFloodPPS = 1000 }, nil, []string{"udp_flood/ spoofed > 198.51.100.5:9"}},
		"ICMPFloodPPS":     {flood(2000, traffic.ICMPEcho, 1), func(c *detect.Config) { c.ICMPFloodPPS = 9000 }, []string{"icmp_flood/ spoofed > 198.51.100.5"}, nil},
		"FragmentFloodPPS": {flood(2000, traffic.Fragment, 17), func(c *detect.Config) { c.FragmentFloodPPS = 1000 }, nil, []string{"fragment_flood/ spoofed > 198.51.100.5"}},
		"TCPFloodPPS":      {flood(2000, traffic.TCPRST, 6), func(c *detect.Config) { c.TCPFloodPPS = 1000 }, nil, []string{"tcp_flood/rst spoofed > 198.51.100.5:9"}},
		"IPFloodPPS":       {flood(1500, traffic.Other, 47), func(c *detect.Config) { c.IPFloodPPS = 1000 }, nil, []string{"ip_flood/gre spoofed > 198.51.100.5"}},
		"ReflectionPPS":    {flood(1000, traffic.TCPSYNACK, 6), func(c *detect.Config) { c.ReflectionPPS = 5000 }, []string{"reflection/tcp spoofed > 198.51.100.5"}, nil},
		"ConnectionsPerSec": {func(s *stage) {
			s.flood(100, 10*time.Second, func(i int) { s.connect(at(evil, 1024+i), at(home, 443)) })
		}, func(c *detect.Config) { c.ConnectionsPerSec = 50 }, nil, []string{"connection_flood/ 203.0.113.66 > 198.51.100.5:443"}},
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			unchanged, changed := newStageWith(t, func(*detect.Config) {}), newStageWith(t, c.change)
			c.play(unchanged)
			c.play(changed)
			require.Equal(t, c.before, summaries(unchanged.finish()))
			require.Equal(t, c.after, summaries(changed.finish()))
		})
	}
	// TestForgedSourcesDoNotHideSlowScan is about MaxSources, the next test about RepeatSecs.
	require.Equal(t, 15, reflect.TypeFor[detect.Config]().NumField(), "a new key needs a case here")
}

func TestRepeatSecsBoundsTimeBetweenRecords(t *testing.T) {
	t.Parallel()
	announced := func(repeat int) int {
		s := newStageWith(t, func(c *detect.Config) { c.RepeatSecs = repeat })
		s.scan(traffic.TCPSYN, home, ports(600), 100*time.Millisecond)
		return len(s.finish())
	}
	require.Greater(t, announced(2), 25)
	require.Less(t, announced(60), 10)
}
