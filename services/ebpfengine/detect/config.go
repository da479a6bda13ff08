package detect

import (
	"time"

	"github.com/ironpost/ironpost/internal/setting"
)

// Config is the section [ebpf.detect]: the thresholds of attacks. Rates of floods are
// averages over 3 seconds; three times the rate is enough within one second, or in a shorter
// burst of at least as many packets as in a second at the rate (and 1,000).
type Config struct {
	// ScanPorts is the number of ports of one host that a source probes in vain in a port scan.
	ScanPorts int `toml:"scan_ports"`
	// ScanHosts is the number of hosts that a source probes in vain on one port in a host scan.
	ScanHosts int `toml:"scan_hosts"`
	// SweepHosts is the number of hosts with ICMP echo requests, answered or not, in a host scan.
	SweepHosts int `toml:"sweep_hosts"`
	// ScanMemorySecs is how long a probe counts; a slower scan is not found.
	ScanMemorySecs int `toml:"scan_memory_secs"`
	// SlowGapSecs is the mean time between probes from which a scan is called slow.
	SlowGapSecs int `toml:"slow_gap_secs"`
	// MaxSources bounds the sources in memory; those with the fewest failed probes are evicted first.
	MaxSources int `toml:"max_sources"`
	// SYNFloodPPS counts half-open connections per second at a host.
	SYNFloodPPS int `toml:"syn_flood_pps"`
	// UDPFloodPPS counts UDP packets that answer nothing.
	UDPFloodPPS int `toml:"udp_flood_pps"`
	// ICMPFloodPPS counts ICMP and ICMPv6.
	ICMPFloodPPS int `toml:"icmp_flood_pps"`
	// FragmentFloodPPS counts IP fragments.
	FragmentFloodPPS int `toml:"fragment_flood_pps"`
	// TCPFloodPPS counts TCP packets without a connection.
	TCPFloodPPS int `toml:"tcp_flood_pps"`
	// IPFloodPPS counts packets of other IP protocols, such as GRE, SCTP and ESP, that answer nothing.
	IPFloodPPS int `toml:"ip_flood_pps"`
	// ReflectionPPS counts unsolicited answers, such as those of DNS servers.
	ReflectionPPS int `toml:"reflection_pps"`
	// ConnectionsPerSec counts connections that one source opens.
	ConnectionsPerSec int `toml:"connections_per_sec"`
	// RepeatSecs is the longest time between two records of an ongoing attack.
	RepeatSecs int `toml:"repeat_secs"`
}

// DefaultConfig returns the defaults. They find a default nmap scan within 2 seconds, and a
// scan with one probe a minute within 10 minutes.
func DefaultConfig() Config {
	return Config{
		ScanPorts: 10, ScanHosts: 8, SweepHosts: 25, ScanMemorySecs: 4 * 3600, SlowGapSecs: 5, MaxSources: 16_384,
		SYNFloodPPS: 50, UDPFloodPPS: 20_000, ICMPFloodPPS: 1000, FragmentFloodPPS: 3000, TCPFloodPPS: 5000, IPFloodPPS: 2000,
		ReflectionPPS: 200, ConnectionsPerSec: 500, RepeatSecs: 60,
	}
}

// Validate returns a problem for every invalid value.
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
		{"ip_flood_pps", c.IPFloodPPS},
		{"reflection_pps", c.ReflectionPPS},
		{"connections_per_sec", c.ConnectionsPerSec},
	} {
		p.Add(rate.key, setting.Between(rate.value, 1, most))
	}
	p.Add("repeat_secs", setting.Between(c.RepeatSecs, 1, 60))
	return p
}

func (c Config) memory() time.Duration { return time.Duration(c.ScanMemorySecs) * time.Second }
