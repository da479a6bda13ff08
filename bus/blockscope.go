package bus

import "fmt"

// MaxBlockRate is the highest Rate of a Scope.
const MaxBlockRate = 1_000_000

// protocols are the values of Scope.Protocol with their numbers; ICMP includes ICMPv6.
var protocols = map[string]uint8{"icmp": 1, "tcp": 6, "udp": 17}

// Scope says which packets of a prefix a Block drops. The zero value is all.
type Scope struct {
	// Rate is how many new attempts of each source per second pass: TCP SYNs, echo requests and
	// first packets of conversations; packets of established ones pass. 0: no packet passes.
	Rate int `json:"rate,omitempty"`
	// Protocol is tcp, udp or icmp; empty: all. Port is the destination's; 0: all.
	Protocol string `json:"protocol,omitempty"`
	Port     uint16 `json:"port,omitempty"`
}

// All reports whether every packet is dropped.
func (s Scope) All() bool { return s == Scope{} }

// Number returns the IP protocol, 0 for all.
func (s Scope) Number() uint8 { return protocols[s.Protocol] }

// String returns s as "tcp/443, 10/s", "" for all packets.
func (s Scope) String() string {
	text := s.Protocol
	if s.Port != 0 {
		text += fmt.Sprintf("/%d", s.Port)
	}
	if s.Rate == 0 {
		return text
	}
	if text != "" {
		text += ", "
	}
	return text + fmt.Sprintf("%d/s", s.Rate)
}

// ScopeOf returns the scope of an IP protocol's number, port and rate.
func ScopeOf(protocol uint8, port uint16, rate int) Scope {
	s := Scope{Rate: rate, Port: port}
	for name, number := range protocols {
		if number == protocol {
			s.Protocol = name
		}
	}
	return s
}

func (s Scope) check() error {
	_, known := protocols[s.Protocol]
	switch {
	case s.Protocol != "" && !known:
		return fmt.Errorf("%w: the protocol must be icmp, tcp or udp", ErrInvalidBlock)
	case s.Port != 0 && s.Protocol != "tcp" && s.Protocol != "udp":
		return fmt.Errorf("%w: a port needs the protocol tcp or udp", ErrInvalidBlock)
	case s.Rate < 0 || s.Rate > MaxBlockRate:
		return fmt.Errorf("%w: the rate must be at most %d/s", ErrInvalidBlock, MaxBlockRate)
	}
	return nil
}

// Key returns the key of b in BlocklistBucket: BlockKey of its prefix, with "hub." before it for a
// copy of the hub's. A part of the packets adds "-", the protocol or "any", "-", the port:
// "cb007107-32-tcp-443". An engine that knows no scopes refuses such a key, so that it does not block
// every packet. Certain hosts add "=" and the name of each: a prefix may be blocked on one host and on all.
func (b Block) Key() string {
	key := BlockKey(b.Prefix)
	if b.Hub {
		key = hubKeys + key
	}
	if b.All() {
		return b.Hosts.addTo(key)
	}
	protocol := b.Protocol
	if protocol == "" {
		protocol = "any"
	}
	return b.Hosts.addTo(fmt.Sprintf("%s-%s-%d", key, protocol, b.Port))
}
