package blocklist

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// The verbs of an engine, for operators.
const (
	VerbList   = "blocklist"        // a ListRequest and a ListResponse
	VerbCheck  = "blocklist-check"  // a CheckRequest and a CheckResponse
	VerbAccept = "blocklist-accept" // an AcceptFeedRequest and an AcceptedFeed
)

const (
	// maxListBytes bounds the entries of a response in bytes of JSON; a message of the bus may have 1 MiB.
	maxListBytes = 512 << 10
	// maxListEntries and defaultListEntries bound their number.
	maxListEntries     = 5000
	defaultListEntries = 1000
	// listMaxAge is how old a listing of the kernel may be: reading a million entries takes a second.
	listMaxAge = time.Second
)

// ListRequest selects entries for the verb "blocklist". The zero value asks for the first entries.
type ListRequest struct {
	// Within selects entries within or around this prefix only.
	Within *netip.Prefix `json:"within,omitempty"`
	// Bucket leaves out entries that are owned by files alone.
	Bucket bool `json:"bucket,omitempty"`
	// Dropped leaves out entries that have dropped nothing.
	Dropped bool `json:"dropped,omitempty"`
	// After is the last prefix of the previous response.
	After *netip.Prefix `json:"after,omitempty"`
	// Limit is the number of entries to return, at most 5000; 0 means 1000.
	Limit int `json:"limit,omitempty"`
}

// ListResponse is the response of the verb "blocklist": the kernel's lists as they are.
type ListResponse struct {
	Host string `json:"host"`
	// Capacity is blocklist_max_entries, Total the number of entries in the kernel.
	Capacity int `json:"capacity"`
	Total    int `json:"total"`
	// NotEnforced counts entries without room, InvalidValues keys of the bucket without a valid block.
	NotEnforced   int `json:"not_enforced"`
	InvalidValues int `json:"invalid_values"`
	// Entries are sorted by prefix. More says that there are more after the last.
	Entries []Entry `json:"entries"`
	More    bool    `json:"more"`
	// Protected is the allow list.
	Protected []ProtectedAddress `json:"protected"`
}

// Entry is one entry of the kernel's blocklist.
type Entry struct {
	Prefix netip.Prefix `json:"prefix"`
	bus.Scope
	Expires *time.Time `json:"expires,omitempty"` // absent: as long as a file lists it
	Bucket  bool       `json:"bucket"`            // owned by the bus's bucket
	Feed    bool       `json:"feed"`              // owned by a file
	Source  string     `json:"source,omitempty"`
	Policy  string     `json:"policy,omitempty"`
	AlertID string     `json:"alert_id,omitempty"`
	Created *time.Time `json:"created,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Hosts   bus.Hosts  `json:"hosts,omitempty"` // on which it holds; absent: on all
	Packets uint64     `json:"packets"`         // dropped since it was made
	Bytes   uint64     `json:"bytes"`
}

// listing is the latest reading of the kernel's blocklist, sorted.
type listing struct {
	mu      sync.Mutex // held through a reading, so that concurrent requests share one; health does not take it
	at      time.Time
	took    time.Duration
	entries []bpf.Entry

	reported map[netip.Prefix]bpf.Entry // as of the last TakeDropped, which alone uses it
}

// Verb returns VerbList of the engine on host, a bus.Verb: it takes a ListRequest and returns a ListResponse.
func (r *Reconciler) Verb(host string) func(context.Context, []byte) (any, error) {
	return func(_ context.Context, body []byte) (any, error) {
		var req ListRequest
		if len(body) > 0 {
			if err := json.Unmarshal(body, &req); err != nil {
				return nil, fmt.Errorf("decode blocklist request: %w", err)
			}
		}
		response, err := r.List(req)
		response.Host = host
		return response, err
	}
}

// List returns the selected entries of the kernel's blocklist, at most a second old.
func (r *Reconciler) List(req ListRequest) (ListResponse, error) {
	entries, err := r.readKernel(listMaxAge)
	if err != nil {
		return ListResponse{}, err
	}
	out := ListResponse{Capacity: r.cfg.MaxEntries, Total: len(entries), Entries: []Entry{}, Protected: r.ProtectedAddresses()}
	r.mu.Lock()
	ofBucket, ofFeeds := r.plan.overflow()
	out.NotEnforced, out.InvalidValues = ofBucket+ofFeeds+len(r.plan.refused)+r.plan.scopes.overflow, len(r.bucket.invalid)
	r.mu.Unlock()
	limit := min(req.Limit, maxListEntries)
	if limit <= 0 {
		limit = defaultListEntries
	}
	now, size := time.Now(), 0
	if req.After == nil { // they come first, at most bpf.MaxScopes
		scopes, err := r.describeScopes(func(p netip.Prefix) bool { return req.Within == nil || req.Within.Overlaps(p) })
		if err != nil {
			return ListResponse{}, err
		}
		out.Entries = append(out.Entries, scopes...)
		limit += len(scopes)
	}
	for _, e := range entries {
		if !req.selects(e, now) {
			continue
		}
		if len(out.Entries) == limit || size > maxListBytes {
			out.More = true
			break
		}
		entry := r.describe(e)
		size += len(entry.Reason)*6 + len(entry.Source)*6 + 200 // JSON may write six bytes for one
		out.Entries = append(out.Entries, entry)
	}
	return out, nil
}

func (req ListRequest) selects(e bpf.Entry, now time.Time) bool {
	switch {
	case e.Scoped, !e.Expires.IsZero() && !e.Expires.After(now),
		req.Bucket && e.Reason&ownedByBucket == 0,
		req.Dropped && e.Packets == 0,
		req.After != nil && compare(e.Prefix, *req.After) <= 0,
		req.Within != nil && !req.Within.Overlaps(e.Prefix):
		return false
	}
	return true
}

// describe adds the bucket's words to an entry of the kernel. The bucket's expiry is exact, the kernel's is not.
func (r *Reconciler) describe(e bpf.Entry) Entry {
	out := Entry{
		Prefix: e.Prefix, Packets: e.Packets, Bytes: e.Bytes,
		Bucket: e.Reason&ownedByBucket != 0, Feed: e.Reason&ownedByFeed != 0,
	}
	expires := e.Expires.UTC()
	if b, ok := r.block(e.Prefix); ok {
		out.addOrigin(b)
		expires = b.Expires.UTC()
	}
	if !e.Expires.IsZero() {
		out.Expires = &expires
	}
	return out
}

// addOrigin adds who made an entry of the bucket, when and why.
func (e *Entry) addOrigin(b bus.Block) {
	created := b.Created.UTC()
	e.Source, e.Reason, e.Policy, e.AlertID, e.Created, e.Hosts = b.Source, b.Reason, b.Policy, b.AlertID, &created, b.Hosts
}

// readKernel returns the kernel's blocklist, sorted, at most maxAge old; a scoped entry has the counts of its scopes. The caller must not change it.
func (r *Reconciler) readKernel(maxAge time.Duration) ([]bpf.Entry, error) {
	l := &r.listing
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.at.IsZero() && time.Since(l.at) < maxAge {
		return l.entries, nil
	}
	began := time.Now()
	entries, err := r.deps.Kernel.Blocked()
	if err != nil {
		return nil, fmt.Errorf("read the kernel blocklist: %w", err)
	}
	scopes, err := r.deps.Kernel.Scopes()
	if err != nil {
		return nil, fmt.Errorf("read the kernel blocklist: %w", err)
	}
	slices.SortFunc(entries, func(a, b bpf.Entry) int { return compare(a.Prefix, b.Prefix) })
	for _, s := range scopes {
		i, found := slices.BinarySearchFunc(entries, s.Prefix, func(e bpf.Entry, p netip.Prefix) int { return compare(e.Prefix, p) })
		if found && entries[i].Scoped { // which counts nothing itself
			entries[i].Packets += s.Packets
			entries[i].Bytes += s.Bytes
		}
	}
	l.entries, l.at, l.took = entries, time.Now(), time.Since(began)
	return entries, nil
}

// TakeDropped returns what each entry has dropped since the last call, the most packets first, at most as many entries as one
// Packet record carries. A list that takes long to read is read less often, so that reading takes a twentieth of the time at
// most; until it is read again, nothing is returned. One goroutine at a time may call it.
func (r *Reconciler) TakeDropped() ([]event.BlockedTraffic, error) {
	r.listing.mu.Lock()
	maxAge := max(listMaxAge, busyFactor*r.listing.took)
	r.listing.mu.Unlock()
	entries, err := r.readKernel(maxAge)
	if err != nil {
		return nil, err
	}
	now := map[netip.Prefix]bpf.Entry{}
	var dropped []event.BlockedTraffic
	for _, e := range entries {
		if e.Packets == 0 {
			continue
		}
		now[e.Prefix] = e
		if d := r.droppedSince(r.listing.reported[e.Prefix], e); d.Packets > 0 {
			dropped = append(dropped, d)
		}
	}
	r.listing.reported = now
	slices.SortFunc(dropped, func(a, b event.BlockedTraffic) int { return cmp.Compare(b.Packets, a.Packets) })
	return dropped[:min(len(dropped), event.MaxSamples)], nil
}

func (r *Reconciler) droppedSince(before, e bpf.Entry) event.BlockedTraffic {
	if before.Packets > e.Packets || before.Bytes > e.Bytes { // the entry was removed and made again meanwhile
		before = bpf.Entry{}
	}
	d := event.BlockedTraffic{Prefix: e.Prefix.String(), Packets: e.Packets - before.Packets, Bytes: e.Bytes - before.Bytes}
	if b, ok := r.block(e.Prefix); ok {
		d.Reason = b.Reason
	} else if e.Reason&ownedByFeed != 0 {
		d.Reason = "blocklist file"
	} else if e.Scoped {
		d.Reason = r.scopeReason(e.Prefix)
	}
	return d
}
