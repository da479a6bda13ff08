package logpipeline

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // images without a base have no database of zones

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// The values of Timezone besides the names of the IANA database, such as UTC and Europe/Berlin.
const (
	ZoneAuto  = "auto"  // learned from when the lines of a source come; until then that of this machine
	ZoneLocal = "local" // of this machine
)

// maxInputTables bounds the list Config.Input, which is searched for each file, sender and container.
const maxInputTables = 1000

// Input is an element of the list [[log_pipeline.input]]: settings for the lines of some sources. Exactly one of Path, Unit, Container
// and Listen says which; the first element that matches counts. An empty setting is that of the section.
type Input struct {
	// Path is a file of the watch paths, or a shell pattern of some.
	Path string `toml:"path"`
	// Unit is a systemd unit whose lines are in the journal, or a shell pattern of some.
	Unit string `toml:"unit"`
	// Container is the name of a container, or a shell pattern of some.
	Container string `toml:"container"`
	// Listen is a source that other programs send to: one of listeningSources.
	Listen string `toml:"listen"`
	// Peers are prefixes of addresses: with Listen, only lines from there; none means all.
	Peers []string `toml:"peers"`
	// Format is the format of the messages, a name of parse.Formats; "" finds it out.
	Format string `toml:"format"`
	// Timezone is the zone of times without one: an IANA name, or a Zone constant.
	Timezone string `toml:"timezone"`
	// TrustedProxies are prefixes of addresses of proxies: of a forwarded list, the last address that is none of them is the client.
	TrustedProxies []string `toml:"trusted_proxies"`
	// Trust is the trust that the operator claims of the lines: host, container, peer or unproven.
	Trust string `toml:"trust"`
}

// claimable are the values of Input.Trust.
var claimable = []string{string(event.TrustHost), string(event.TrustContainer), string(event.TrustPeer), string(event.TrustUnproven)}

// listeningSources are the values of Input.Listen.
var listeningSources = []string{SourceSyslogUDP, SourceSyslogTCP, SourceSyslogTLS, SourceUnix}

// Validate returns the problems of in.
func (in Input) Validate() []setting.Problem {
	var p setting.Problems
	in.validateSelector(&p)
	if in.Format != "" {
		p.Add("format", setting.OneOf(in.Format, parse.Formats()...))
	}
	if in.Timezone != "" {
		p.Add("timezone", checkZone(in.Timezone))
	}
	p.Each("trusted_proxies", in.TrustedProxies, checkPrefix)
	if in.Trust != "" {
		p.Add("trust", setting.OneOf(in.Trust, claimable...))
	}
	return p
}

func (in Input) validateSelector(p *setting.Problems) {
	set := 0
	for _, value := range []string{in.Path, in.Unit, in.Container, in.Listen} {
		if value != "" {
			set++
		}
	}
	if set != 1 {
		p.Add("path", "exactly one of path, unit, container and listen must be set: it says whose lines the settings are for")
	}
	if in.Path != "" {
		p.Add("path", setting.Glob(in.Path))
	}
	p.Add("unit", checkPattern(in.Unit))
	p.Add("container", checkPattern(in.Container))
	if in.Listen != "" {
		p.Add("listen", setting.OneOf(in.Listen, listeningSources...))
	}
	p.Each("peers", in.Peers, checkPrefix)
	if len(in.Peers) > 0 && in.Listen == "" {
		p.Add("peers", "are of listen only: the others have no addresses")
	}
}

func checkPattern(value string) string {
	if _, err := filepath.Match(value, ""); err != nil {
		return setting.Shown(value) + " is not a valid pattern: a [ without ] or a \\ at the end"
	}
	return ""
}

func checkPrefix(value string) string {
	if _, err := parsePrefix(value); err != nil {
		return setting.Shown(value) + " is not allowed, must be an address or a prefix such as 192.0.2.0/24 or 2001:db8::/32"
	}
	return ""
}

// parsePrefix parses an address or a prefix. An IPv4 address that is written as an IPv6 address becomes one of IPv4.
func parsePrefix(value string) (netip.Prefix, error) {
	if !strings.Contains(value, "/") {
		addr, err := netip.ParseAddr(value)
		if err != nil {
			return netip.Prefix{}, err
		}
		addr = addr.Unmap()
		return addr.WithZone("").Prefix(addr.BitLen())
	}
	prefix, err := netip.ParsePrefix(value)
	return prefix.Masked(), err
}

// prefixes returns values as prefixes. Validate has found those that are none.
func prefixes(values []string) (out []netip.Prefix) {
	for _, value := range values {
		if prefix, err := parsePrefix(value); err == nil {
			out = append(out, prefix)
		}
	}
	return out
}

func checkZone(value string) string {
	if _, err := locationOf(value); err != nil {
		return setting.Shown(value) + " is not a time zone, must be auto, local, UTC or a name of the IANA database such as Europe/Berlin"
	}
	return ""
}

// locationOf returns the zone that a setting names, nil for that of this machine and for one that is learned.
func locationOf(value string) (*time.Location, error) {
	switch value {
	case "", ZoneAuto, ZoneLocal:
		return nil, nil
	case "Local": // LoadLocation takes it for that of this machine, and is the only one that is not in the database
		return nil, fmt.Errorf("unknown time zone %s", value)
	}
	return time.LoadLocation(value)
}

// validateInputs adds the problems of the list of inputs and of the settings for all of them.
func (c Config) validateInputs(p *setting.Problems) {
	p.Add("timezone", checkZone(c.Timezone))
	p.Each("trusted_proxies", c.TrustedProxies, checkPrefix)
	if len(c.Input) > maxInputTables {
		p.Addf("input", "%d sections are too many, must be at most %d", len(c.Input), maxInputTables)
	}
	for i, in := range c.Input {
		*p = append(*p, setting.Problems(in.Validate()).Under(fmt.Sprintf("input.%d", i))...)
	}
}

// globs reports whether the shell pattern matches text.
func globs(pattern, text string) bool {
	ok, err := filepath.Match(pattern, text)
	return ok && err == nil
}

// contains reports whether addr is in one of list.
func contains(list []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}
