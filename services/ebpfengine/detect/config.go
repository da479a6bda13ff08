package detect

import (
	"time"

	"github.com/ironpost/ironpost/internal/setting"
)

// Config is the section [ebpf.detect]: from when on something is an attack. Rates
// of floods are averages over 3 seconds; three times as much within one is enough.
type Config struct {
	// ScanPorts is how many ports of one host one source tries in vain to be a port scan.
	ScanPorts int `toml:"scan_ports"`
	// ScanHosts is how many hosts one source tries in vain on one port to be a host scan.
	ScanHosts int `toml:"scan_hosts"`
	// SweepHosts is the same of ICMP echo requests, answered or not.
	SweepHosts int `toml:"sweep_hosts"`
	// ScanMemorySecs is how long a probe counts; a scan slower than that is not seen.
	ScanMemorySecs int `toml:"scan_memory_secs"`
	// SlowGapSecs is the mean time between probes from which a scan is called slow.
	SlowGapSecs int `toml:"slow_gap_secs"`
	// MaxSources bounds the sources that are remembered; the least suspicious go first.
	MaxSources int `toml:"max_sources"`
	// SYNFloodPPS is how many connections a second are begun at a host and not completed.
	SYNFloodPPS int `toml:"syn_flood_pps"`
	// UDPFloodPPS is how many UDP packets a second arrive that answer nothing.
	UDPFloodPPS int `toml:"udp_flood_pps"`
	// ICMPFloodPPS counts ICMP and ICMPv6.
	ICMPFloodPPS int `toml:"icmp_flood_pps"`
	// FragmentFloodPPS counts IP fragments.
	FragmentFloodPPS int `toml:"fragment_flood_pps"`
	// TCPFloodPPS counts TCP packets that belong to no connection.
	TCPFloodPPS int `toml:"tcp_flood_pps"`
	// ReflectionPPS counts answers nobody asked for, such as those of DNS servers.
	ReflectionPPS int `toml:"reflection_pps"`
	// ConnectionsPerSec is how many connections a second one source opens.
	ConnectionsPerSec int `toml:"connections_per_sec"`
	// RepeatSecs is the longest time between two announcements of an attack that goes on.
	RepeatSecs int `toml:"repeat_secs"`
}

// DefaultConfig returns what holds when nothing is set. It sees a default nmap scan within two
// seconds and one probe a minute within ten.
func DefaultConfig() Config {
	return Config{
		ScanPorts: 10, ScanHosts: 8, SweepHosts: 25, ScanMemorySecs: 4 * 3600, SlowGapSecs: 5, MaxSources: 16_384,
		SYNFloodPPS: 50, UDPFloodPPS: 20_000, ICMPFloodPPS: 1000, FragmentFloodPPS: 3000, TCPFloodPPS: 5000,
		ReflectionPPS: 200, ConnectionsPerSec: 500, RepeatSecs: 60,
	}
}

// Validate returns every value that may not be used.
func (c Config) Validate() []setting.Problem {
	const most = 1_000_000_000
	var p setting.Problems
	p.Add("scan_ports", setting.Between(c.ScanPorts, minAttempts, maxAttempts))
	p.Add("scan_hosts", setting.Between(c.ScanHosts, minAttempts, maxAttempts))
	p.Add("sweep_hosts", setting.Between(c.SweepHosts, minAttempts, maxAttempts))
	p.Add("scan_memory_secs", setting.Between(c.ScanMemorySecs, 60, 7*86_400))
	p.Add("slow_gap_secs", setting.Between(c.SlowGapSecs, 1, 3600))
	p.Add("max_sources", setting.Between(c.MaxSources, 256, 1<<20))
	for _, rate := range [...]struct {
		key   string
		value int
	}{
		{"syn_flood_pps", c.SYNFloodPPS},
		{"udp_flood_pps", c.UDPFloodPPS},
		{"icmp_flood_pps", c.ICMPFloodPPS},
		{"fragment_flood_pps", c.FragmentFloodPPS},
		{"tcp_flood_pps", c.TCPFloodPPS},
		{"reflection_pps", c.ReflectionPPS},
		{"connections_per_sec", c.ConnectionsPerSec},
	} {
		p.Add(rate.key, setting.Between(rate.value, 1, most))
	}
	p.Add("repeat_secs", setting.Between(c.RepeatSecs, 1, 60))
	return p
}

func (c Config) memory() time.Duration  { return time.Duration(c.ScanMemorySecs) * time.Second }
func (c Config) slowGap() time.Duration { return time.Duration(c.SlowGapSecs) * time.Second }
func (c Config) repeat() time.Duration  { return time.Duration(c.RepeatSecs) * time.Second }
