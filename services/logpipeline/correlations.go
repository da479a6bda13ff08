package logpipeline

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/sigma"
)

// networkBits is the length of the IPv6 networks that are counted as one source: whoever has one address of such a network
// can have all of them.
const networkBits = 64

// correlations counts matches by the address of their source and, if that is a public IPv6 address, by its network, too. So
// an attack spread over a network is found, and one from a single address is still counted by itself. One goroutine
// uses it.
type correlations struct {
	addresses *sigma.Correlator
	networks  *sigma.Correlator
}

func newCorrelations(rules *ruleSet) *correlations {
	return &correlations{addresses: rules.NewCorrelator(), networks: rules.NewCorrelator()}
}

// observe counts the matches of ev, whose source is invalid if it has none. It returns the correlations that became true and
// those that stay true, as sigma.Correlator does. Of the correlations by network it returns those that group by the source
// and did not become true, or stay true, for the address by the same event; joining are those of them that stay true: they
// may have become true by an address alone.
func (c *correlations) observe(ev sigma.Event, matches []sigma.Match, source netip.Addr) (began, ongoing, joining []sigma.CorrelationMatch) {
	began, ongoing = c.addresses.Observe(ev, matches)
	network, ok := networkOf(source)
	if !ok || len(matches) == 0 {
		return began, ongoing, nil
	}
	address, fields := source.String(), ev.Fields
	ev.Fields = fields.Clone()
	for name := range fields.All() {
		if fields.Text(name) == address {
			ev.Fields.Set(name, sigma.Text(network))
		}
	}
	isIn := func(list []sigma.CorrelationMatch, m sigma.CorrelationMatch) bool {
		return slices.ContainsFunc(list, func(other sigma.CorrelationMatch) bool { return other.Correlation == m.Correlation })
	}
	byAddress := began
	networkBegan, networkOngoing := c.networks.Observe(ev, matches)
	for _, m := range networkBegan {
		if groupedBy(m, network) && !isIn(byAddress, m) {
			began = append(began, m)
		}
	}
	for _, m := range networkOngoing {
		if groupedBy(m, network) && !isIn(byAddress, m) && !isIn(ongoing, m) {
			joining = append(joining, m)
		}
	}
	return began, ongoing, joining
}

func groupedBy(m sigma.CorrelationMatch, value string) bool {
	for _, v := range m.Group {
		if v == value {
			return true
		}
	}
	return false
}

// networkOf returns the network that a public IPv6 address is counted for, as text.
func networkOf(a netip.Addr) (string, bool) {
	if !a.Is6() || a.Is4In6() || a.Zone() != "" || !a.IsGlobalUnicast() || a.IsPrivate() {
		return "", false
	}
	network, err := a.Prefix(networkBits)
	return network.String(), err == nil
}

// savedCorrelations is the form of correlations in a checkpoint. Earlier versions saved the counts by address alone, which
// have no member named addresses.
type savedCorrelations struct {
	Addresses json.RawMessage `json:"addresses"`
	Networks  json.RawMessage `json:"networks"`
}

// Snapshot returns the counts as JSON.
func (c *correlations) Snapshot() ([]byte, error) {
	var saved savedCorrelations
	var err error
	if saved.Addresses, err = c.addresses.Snapshot(); err != nil {
		return nil, err
	}
	if saved.Networks, err = c.networks.Snapshot(); err != nil {
		return nil, err
	}
	return json.Marshal(saved)
}

// Restore replaces the counts by those of a snapshot, also of an earlier version. On an error the counts by network, or
// all, are unchanged.
func (c *correlations) Restore(data []byte) error {
	var saved savedCorrelations
	if err := json.Unmarshal(data, &saved); err != nil {
		return fmt.Errorf("read correlation counts: %w", err)
	}
	if saved.Addresses == nil {
		return c.addresses.Restore(data)
	}
	if err := c.addresses.Restore(saved.Addresses); err != nil {
		return err
	}
	return c.networks.Restore(saved.Networks)
}

// stats returns the counters of both.
func (c *correlations) stats() sigma.CorrelatorStats {
	s, n := c.addresses.Stats(), c.networks.Stats()
	s.Groups += n.Groups
	s.Events += n.Events
	s.EvictedGroups += n.EvictedGroups
	s.EvictedEvents += n.EvictedEvents
	s.Ungrouped += n.Ungrouped
	s.Untimed += n.Untimed
	for rule, evicted := range n.Evicted {
		s.Evicted[rule] += evicted
	}
	return s
}
