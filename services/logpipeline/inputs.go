package logpipeline

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/format"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// inputs are the settings of [[log_pipeline.input]], ready for use. It does not change.
type inputs struct {
	list    []inputSettings
	other   inputSettings // of sources that are in none of list
	formats *format.Set
	audit   []string // the files of auditd among those that are followed
}

// inputSettings are those of one element of the list.
type inputSettings struct {
	of    Input
	peers []netip.Prefix
	parse parse.Input // its zone is nil if it is that of this machine
	learn bool        // the zone is learned; until then it is that of this machine
	trust event.Trust // "" for that which the source proves
}

// newInputs returns the settings of c, which is valid; formats are tried on the lines of all.
func newInputs(c Config, formats *format.Set) *inputs {
	in := &inputs{formats: formats, other: newInputSettings(c, Input{}, formats)}
	for _, of := range c.Input {
		in.list = append(in.list, newInputSettings(c, of, formats))
	}
	for _, path := range c.watchedPaths() {
		if strings.HasSuffix(path, auditLog) {
			in.audit = append(in.audit, path)
		}
	}
	return in
}

func newInputSettings(c Config, of Input, formats *format.Set) inputSettings {
	zone := cmp.Or(of.Timezone, c.Timezone, ZoneAuto)
	location, _ := locationOf(zone) // it is valid
	proxies := of.TrustedProxies
	if proxies == nil {
		proxies = c.TrustedProxies
	}
	return inputSettings{
		of: of, peers: prefixes(of.Peers), trust: event.Trust(of.Trust), learn: zone == ZoneAuto,
		parse: parse.Input{Format: of.Format, Location: location, TrustedProxies: prefixes(proxies), Described: formats},
	}
}

// find returns the settings of the first element that matches, else those of the section.
func (in *inputs) find(matches func(*inputSettings) bool) *inputSettings {
	for i := range in.list {
		if matches(&in.list[i]) {
			return &in.list[i]
		}
	}
	return &in.other
}

// ofFile returns the settings of a watched file.
func (in *inputs) ofFile(path string) *inputSettings {
	return in.find(func(s *inputSettings) bool { return s.of.Path != "" && (s.of.Path == path || globs(s.of.Path, path)) })
}

// ofUnit returns the settings of the lines that a systemd unit has in the journal.
func (in *inputs) ofUnit(unit string) *inputSettings {
	return in.find(func(s *inputSettings) bool { return s.of.Unit != "" && (s.of.Unit == unit || globs(s.of.Unit, unit)) })
}

// ofContainer returns the settings of the container with this name.
func (in *inputs) ofContainer(name string) *inputSettings {
	return in.find(func(s *inputSettings) bool { return s.of.Container != "" && globs(s.of.Container, name) })
}

// ofPeer returns the settings of what peer, an address with a port or anything else, sends to source, a Source constant.
func (in *inputs) ofPeer(source, peer string) *inputSettings {
	if len(in.list) == 0 {
		return &in.other
	}
	addr, _ := netip.ParseAddrPort(peer) // not of a sender without an address
	return in.find(func(s *inputSettings) bool {
		return s.of.Listen == source && (len(s.peers) == 0 || contains(s.peers, addr.Addr().Unmap()))
	})
}

// trustOf returns the trust that the operator claims, or proven.
func (s *inputSettings) trustOf(proven event.Trust) event.Trust { return cmp.Or(s.trust, proven) }
