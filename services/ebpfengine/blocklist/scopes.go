package blocklist

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
)

// maxScopes bounds the entries for a part of the packets that are kept in memory. It is more than the kernel has room for,
// because one that expires makes room for another.
const maxScopes = 1 << 14

// scopes are the entries of the bucket for a part of a prefix's packets. The kernel has them beside an entry of the prefix that
// says so. They belong to a plan.
type scopes struct {
	byKey    map[string]bus.Block      // those of this host and of the hub
	omitted  int                       // how many did not fit since the bucket was read
	inForce  map[string]bus.Block      // by the key of this host: what the kernel is to have, at most bpf.MaxScopes
	prefixes map[netip.Prefix]struct{} // of inForce
	overflow int                       // those without room
	changed  bool                      // inForce was not written since
}

func newScopes() scopes { return scopes{byKey: map[string]bus.Block{}} }

// put adds or replaces an entry that has not expired.
func (s *scopes) put(b bus.Block) {
	key := b.Key()
	if _, known := s.byKey[key]; !known && len(s.byKey) >= maxScopes {
		s.omitted++
		return
	}
	s.byKey[key] = b
}

// replace takes over those of the whole bucket.
func (s *scopes) replace(blocks []bus.Block) {
	clear(s.byKey)
	s.omitted = 0
	for _, b := range blocks {
		if !b.All() {
			s.put(b)
		}
	}
}

// wanted returns the entries by the key of all hosts. Where this host, all hosts or the hub have the same port, the lower rate holds, and
// of equal ones that which lasts longer.
func (s *scopes) wanted() map[string]bus.Block {
	all := make(map[string]bus.Block, len(s.byKey))
	for _, b := range s.byKey {
		own := b
		own.Hub, own.Hosts = false, ""
		key := own.Key()
		have, both := all[key]
		if !both || b.Rate < have.Rate || b.Rate == have.Rate && b.Expires.After(have.Expires) {
			all[key] = b
		}
	}
	return all
}

// choose decides which entries are in force, the most important if there are too many, and returns the prefixes that have none any
// more or have their first.
func (s *scopes) choose() (changed []netip.Prefix) {
	all := s.wanted()
	s.overflow = s.omitted + max(0, len(all)-bpf.MaxScopes)
	if len(all) > bpf.MaxScopes {
		keys := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return cmp.Or(byImportance(all[a], all[b]), strings.Compare(a, b)) })
		for _, key := range keys[bpf.MaxScopes:] {
			delete(all, key)
		}
	}
	before := s.prefixes
	s.prefixes = make(map[netip.Prefix]struct{}, len(all))
	for _, b := range all {
		s.prefixes[b.Prefix] = struct{}{}
		if _, known := before[b.Prefix]; !known {
			changed = append(changed, b.Prefix)
		}
	}
	for prefix := range before {
		if _, stays := s.prefixes[prefix]; !stays {
			changed = append(changed, prefix)
		}
	}
	s.changed = s.changed || s.inForce == nil || !maps.Equal(s.inForce, all)
	s.inForce = all
	return changed
}

// expired returns the keys of the entries that have expired at now.
func (s *scopes) expired(now time.Time) (keys []string) {
	for key, b := range s.byKey {
		if !b.Expires.After(now) {
			keys = append(keys, key)
		}
	}
	return keys
}

// nextExpiry returns the earliest expiry, zero if there is none.
func (s *scopes) nextExpiry() (next time.Time) {
	for _, b := range s.byKey {
		if next.IsZero() || b.Expires.Before(next) {
			next = b.Expires
		}
	}
	return next
}

// kernel returns the entries in force as the kernel takes them.
func (s *scopes) kernel() []bpf.Scope {
	list := make([]bpf.Scope, 0, len(s.inForce))
	for _, b := range s.inForce {
		list = append(list, bpf.Scope{
			Prefix: b.Prefix, Protocol: b.Number(), Port: b.Port, Rate: b.Rate, Expires: b.Expires, Reason: ownedByBucket,
		})
	}
	return list
}

// writeScopes writes the scopes if they have changed, before the entries that refer to them.
func (w *writer) writeScopes() {
	w.mu.Lock()
	if !w.plan.scopes.changed || !w.plan.bucketKnown {
		w.mu.Unlock()
		return
	}
	w.plan.scopes.changed = false
	list := w.plan.scopes.kernel()
	w.mu.Unlock()
	w.recordWrite(len(list), w.deps.Kernel.SetScopes(list))
}

// describeScopes returns the kernel's scopes of the prefixes that selects, sorted, with who made them, when and why.
func (r *Reconciler) describeScopes(selects func(netip.Prefix) bool) ([]Entry, error) {
	all, err := r.deps.Kernel.Scopes()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	r.mu.Lock()
	origins := r.plan.scopes.wanted()
	r.mu.Unlock()
	var entries []Entry
	for _, s := range all {
		if !selects(s.Prefix) || !s.Expires.After(now) {
			continue
		}
		e := Entry{
			Prefix: s.Prefix, Scope: bus.ScopeOf(s.Protocol, s.Port, s.Rate), Bucket: true, Packets: s.Packets, Bytes: s.Bytes,
		}
		expires := s.Expires.UTC()
		if b, known := origins[bus.Block{Prefix: s.Prefix, Scope: e.Scope}.Key()]; known {
			e.Scope = b.Scope
			e.addOrigin(b)
			expires = b.Expires.UTC()
		}
		e.Expires = &expires
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		if order := compare(a.Prefix, b.Prefix); order != 0 {
			return order
		}
		return strings.Compare(a.Scope.String(), b.Scope.String())
	})
	return entries, nil
}

// scopeReason returns the reason of an entry in force for a part of the packets of prefix.
func (r *Reconciler) scopeReason(prefix netip.Prefix) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.plan.scopes.inForce {
		if b.Prefix == prefix {
			return b.Reason
		}
	}
	return ""
}
