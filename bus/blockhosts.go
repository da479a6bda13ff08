package bus

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/event"
)

// MaxBlockHosts is the most hosts that a Block names.
const MaxBlockHosts = 16

const (
	maxHostToken = 64
	hostsInKey   = "=" // before each host in the key of a Block
)

// Hosts are the hosts on which a Block holds; none: on all. In JSON they are a list of names as HostToken returns them.
// The type is a string so that blocks can be compared: the names sorted, with commas between.
type Hosts string

// HostsOf returns a set of names.
func HostsOf(names ...string) Hosts {
	names = slices.Clone(names)
	slices.Sort(names)
	return Hosts(strings.Join(slices.Compact(names), ","))
}

// All reports whether no host is named.
func (h Hosts) All() bool { return h == "" }

// Names returns the names, sorted.
func (h Hosts) Names() []string {
	if h.All() {
		return []string{}
	}
	return strings.Split(string(h), ",")
}

// Include reports whether a Block with these hosts holds on host.
func (h Hosts) Include(host string) bool { return h.All() || slices.Contains(h.Names(), host) }

// String returns the names for people, "" for all.
func (h Hosts) String() string { return strings.Join(h.Names(), ", ") }

// MarshalJSON implements json.Marshaler.
func (h Hosts) MarshalJSON() ([]byte, error) { return json.Marshal(h.Names()) }

// UnmarshalJSON implements json.Unmarshaler.
func (h *Hosts) UnmarshalJSON(data []byte) error {
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return err
	}
	for _, name := range names {
		if !isHostToken(name) {
			return fmt.Errorf("%q is not the name of a host on the bus", event.PrintableASCII(name, maxHeader))
		}
	}
	*h = HostsOf(names...)
	return nil
}

func isHostToken(name string) bool {
	return name != "" && len(name) <= maxHostToken && HostToken(name) == name
}

func (h Hosts) check() error {
	names := h.Names()
	if len(names) > MaxBlockHosts {
		return fmt.Errorf("%w: it may name %d hosts at most", ErrInvalidBlock, MaxBlockHosts)
	}
	for _, name := range names {
		if !isHostToken(name) {
			return fmt.Errorf("%w: %q is not the name of a host on the bus", ErrInvalidBlock, event.PrintableASCII(name, maxHeader))
		}
	}
	return nil
}

// addTo adds the hosts to a key, as "cb007107-32=web-1". An engine that knows no hosts refuses such a key, so that it
// does not enforce what holds on other hosts.
func (h Hosts) addTo(key string) string {
	for _, name := range h.Names() {
		key += hostsInKey + name
	}
	return key
}
