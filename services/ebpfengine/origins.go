package ebpfengine

import (
	"errors"
	"net/netip"

	"github.com/ironpost/ironpost/internal/conntrack"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// maxOrigins bounds the attacks whose actors are kept.
const maxOrigins = 4096

// origins are the addresses of machines and containers behind this host's NAT that attack others, by attack.
type origins map[string]netip.Addr

// name makes the actor of an outbound attack the address behind this host's NAT, and keeps to it until the attack is over. The kernel is
// asked at the first record of an attack, or the next one at which it may be asked, and when a flood that was over goes on. The error
// says why it does not know; then the actor remains the address that NAT gave it.
func (o origins) name(d *detect.Detection, ask *conntrack.Asker) error {
	seen, err := netip.ParseAddr(d.Actor)
	if err != nil || d.Direction != detect.Outbound {
		return nil //nolint:nilerr // the actor is a word, or not behind NAT
	}
	attack := d.Packet("").TraceID
	source, asked := o[attack]
	if !asked && d.Phase != detect.PhaseOver && d.Flow.Source.Addr() == seen {
		source, err = sourceOf(ask, d)
		if errors.Is(err, conntrack.ErrBusy) {
			return err
		}
		if err != nil {
			source = seen
		}
		for old := range o { // the end of an attack may have been lost
			if len(o) < maxOrigins {
				break
			}
			delete(o, old)
		}
		o[attack] = source
	}
	if source.IsValid() && source != seen {
		d.Actor, d.NATAddress = source.String(), d.Actor
	}
	if d.Phase == detect.PhaseOver {
		delete(o, attack)
	}
	return err
}

// sourceOf returns the one source of two conversations of an attack: one alone may be of another container with the same target.
func sourceOf(ask *conntrack.Asker, d *detect.Detection) (netip.Addr, error) {
	var found netip.Addr
	for _, f := range [...]detect.Flow{d.Flow, d.EarlierFlow} {
		if !f.Source.IsValid() {
			return found, conntrack.ErrUnknown
		}
		source, err := ask.Source(f.Proto, f.Source, f.Target)
		if err != nil {
			return found, err
		}
		if found.IsValid() && source != found {
			return found, conntrack.ErrUnknown
		}
		found = source
	}
	return found, nil
}
