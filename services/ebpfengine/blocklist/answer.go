package blocklist

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/event"
)

const (
	// maxAnswer bounds the entries of an answer in bytes of JSON; a message of the bus may have 1 MiB.
	maxAnswer = 512 << 10
	// mostAnswered and usuallyAnswered bound their number.
	mostAnswered    = 5000
	usuallyAnswered = 1000
	// listFresh is how old a listing of the kernel's may be: reading a million entries takes a second.
	listFresh = time.Second
)

// ListRequest is what the verb "blocklist" is asked. The zero value asks for the first entries.
type ListRequest struct {
	// Within asks for what lies within or covers this prefix only.
	Within *netip.Prefix `json:"within,omitempty"`
	// Bucket leaves out what only files want.
	Bucket bool `json:"bucket,omitempty"`
	// Dropped leaves out what has dropped nothing.
	Dropped bool `json:"dropped,omitempty"`
	// After is the last prefix of the answer before.
	After *netip.Prefix `json:"after,omitempty"`
	// Limit is the most entries to answer, at most 5000; 0 means 1000.
	Limit int `json:"limit,omitempty"`
}

// ListResponse is what the verb "blocklist" says: the kernel's list as it is.
type ListResponse struct {
	Host string `json:"host"`
	// Capacity is blocklist_max_entries, Total how many entries the kernel holds.
	Capacity int `json:"capacity"`
	Total    int `json:"total"`
	// NotEnforced counts entries that there is no room for, InvalidValues keys of the bucket that hold no block.
	NotEnforced   int `json:"not_enforced"`
	InvalidValues int `json:"invalid_values"`
	// Entries are in the order of their prefixes. More says that there are more after the last.
	Entries []Entry `json:"entries"`
	More    bool    `json:"more"`
	// Lifelines pass whatever is blocked.
	Protected []ProtectedAddress `json:"lifelines"`
}

// Entry is one entry in the kernel.
type Entry struct {
	Prefix  netip.Prefix `json:"prefix"`
	Expires *time.Time   `json:"expires,omitempty"` // absent: as long as a file says so
	Bucket  bool         `json:"bucket"`            // the bus's bucket wants it
	Feed    bool         `json:"feed"`              // a file wants it
	Source  string       `json:"source,omitempty"`
	Reason  string       `json:"reason,omitempty"`
	Packets uint64       `json:"packets"` // dropped since it was made
	Bytes   uint64       `json:"bytes"`
}

// listed is the newest listing of the kernel's list, sorted.
type listed struct {
	mu      sync.Mutex
	at      time.Time
	took    time.Duration
	entries []bpf.Entry
	before  map[netip.Prefix]bpf.Entry // as Dropped last told
}

// Verb returns the verb "blocklist" of the engine on host; it is a bus.Verb. It takes a Request and returns an Answer.
func (k *Reconciler) Verb(host string) func(context.Context, []byte) (any, error) {
	return func(_ context.Context, body []byte) (any, error) {
		var r ListRequest
		if len(body) > 0 {
			if err := json.Unmarshal(body, &r); err != nil {
				return nil, fmt.Errorf("request is no JSON of a blocklist request: %w", err)
			}
		}
		a, err := k.List(r)
		a.Host = host
		return a, err
	}
}

// List tells what the kernel's list holds.
func (k *Reconciler) List(r ListRequest) (ListResponse, error) {
	entries, err := k.list(listFresh)
	if err != nil {
		return ListResponse{}, err
	}
	a := ListResponse{Capacity: k.cfg.MaxEntries, Total: len(entries), Entries: []Entry{}, Protected: k.ProtectedAddresses()}
	k.mu.Lock()
	ofBus, ofFeeds := k.plan.overflow()
	a.NotEnforced, a.InvalidValues = ofBus+ofFeeds+int(k.plan.refused), len(k.invalid)
	k.mu.Unlock()
	a.fill(k, r, entries)
	return a, nil
}

func (a *ListResponse) fill(k *Reconciler, r ListRequest, entries []bpf.Entry) {
	limit := min(r.Limit, mostAnswered)
	if limit <= 0 {
		limit = usuallyAnswered
	}
	now, size := time.Now(), 0
	for _, e := range entries {
		if !r.asksFor(e, now) {
			continue
		}
		if len(a.Entries) == limit || size > maxAnswer {
			a.More = true
			return
		}
		entry := k.entry(e)
		size += len(entry.Reason)*6 + len(entry.Source)*6 + 200 // JSON may write six bytes for one
		a.Entries = append(a.Entries, entry)
	}
}

func (r ListRequest) asksFor(e bpf.Entry, now time.Time) bool {
	switch {
	case !e.Expires.IsZero() && !e.Expires.After(now),
		r.Bucket && e.Reason&fromBus == 0,
		r.Dropped && e.Packets == 0,
		r.After != nil && compare(e.Prefix, *r.After) <= 0,
		r.Within != nil && !r.Within.Overlaps(e.Prefix):
		return false
	}
	return true
}

func (k *Reconciler) entry(e bpf.Entry) Entry {
	entry := Entry{
		Prefix: e.Prefix, Packets: e.Packets, Bytes: e.Bytes,
		Bucket: e.Reason&fromBus != 0, Feed: e.Reason&fromFeed != 0,
	}
	if !e.Expires.IsZero() {
		expires := e.Expires.UTC()
		entry.Expires = &expires
	}
	if b, ok := k.block(e.Prefix); ok {
		entry.Source, entry.Reason = b.Source, b.Reason
		entry.Expires = keptExpiry(entry.Expires, b.Expires)
	}
	return entry
}

// keptExpiry says the wish, which is exact, where the kernel says that there is an end.
func keptExpiry(kernel *time.Time, wish time.Time) *time.Time {
	if kernel == nil {
		return nil
	}
	wish = wish.UTC()
	return &wish
}

// list returns the kernel's list, sorted, at most fresh old. Nobody may change it.
func (k *Reconciler) list(fresh time.Duration) ([]bpf.Entry, error) {
	k.listed.mu.Lock()
	defer k.listed.mu.Unlock()
	if !k.listed.at.IsZero() && time.Since(k.listed.at) < fresh {
		return k.listed.entries, nil
	}
	began := time.Now()
	entries, err := k.deps.Kernel.Blocked()
	if err != nil {
		return nil, fmt.Errorf("kernel blocklist: %w", err)
	}
	slices.SortFunc(entries, func(a, b bpf.Entry) int { return compare(a.Prefix, b.Prefix) })
	k.listed.entries, k.listed.at, k.listed.took = entries, time.Now(), time.Since(began)
	return entries, nil
}

// TakeDropped returns what each entry has dropped since the last call, the most first, at most as many as one Packet record
// carries. A list so long that reading it would take more than a twentieth of the time is read less often, and nothing is
// told meanwhile. One goroutine calls it.
func (k *Reconciler) TakeDropped() ([]event.BlockedTraffic, error) {
	k.listed.mu.Lock()
	fresh := max(listFresh, lookShare*k.listed.took)
	k.listed.mu.Unlock()
	entries, err := k.list(fresh)
	if err != nil {
		return nil, err
	}
	now := map[netip.Prefix]bpf.Entry{}
	var found []event.BlockedTraffic
	for _, e := range entries {
		if e.Packets == 0 {
			continue
		}
		now[e.Prefix] = e
		if b, dropped := k.droppedBy(e); dropped {
			found = append(found, b)
		}
	}
	k.listed.before = now
	slices.SortFunc(found, func(a, b event.BlockedTraffic) int {
		if a.Packets != b.Packets {
			return int(min(b.Packets, 1<<62)) - int(min(a.Packets, 1<<62))
		}
		return 0
	})
	return found[:min(len(found), event.MaxSamples)], nil
}

func (k *Reconciler) droppedBy(e bpf.Entry) (event.BlockedTraffic, bool) {
	before := k.listed.before[e.Prefix]
	if before.Packets > e.Packets || before.Bytes > e.Bytes { // made anew meanwhile
		before = bpf.Entry{}
	}
	t := event.BlockedTraffic{Prefix: e.Prefix.String(), Packets: e.Packets - before.Packets, Bytes: e.Bytes - before.Bytes}
	if b, ok := k.block(e.Prefix); ok {
		t.Reason = b.Reason
	} else if e.Reason&fromFeed != 0 {
		t.Reason = "blocklist file"
	}
	return t, t.Packets > 0
}
