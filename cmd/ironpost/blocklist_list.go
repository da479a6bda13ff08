package main

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// maxPages bounds the requests to one engine for one listing.
const maxPages = 1000

type blocklistListFlags struct {
	files  bool
	host   string
	source string
	reason string
}

// matches reports whether the list shows an entry.
func (f blocklistListFlags) matches(e blockedEntry) bool {
	return (f.source == "" || e.Source == f.source) && strings.Contains(strings.ToLower(e.Reason), strings.ToLower(f.reason))
}

func (a *app) blocklistListCommand() *cobra.Command {
	var f blocklistListFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the entries and what they dropped",
		Long: `Lists the entries of the bus's blocklist and how many packets each dropped on
each machine; "-" if no packet engine enforces it. Entries of block feeds are
not listed, there may be a million; --files adds those that dropped a packet.`,
		Example: `  ironpost blocklist list
  ironpost blocklist list --source container-guard --reason "port scan"
  ironpost blocklist list --files --host web1
  ironpost blocklist list --json | jq '.entries[] | select(.hits[].packets > 0)'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withTimeout(cmd.Context(), a.timeout, func(ctx context.Context, conn *bus.Conn) error { return a.blocklistList(ctx, conn, f) })
		},
	}
	cmd.Flags().BoolVar(&f.files, "files", false, "also list entries of block feeds that dropped\na packet")
	cmd.Flags().StringVar(&f.host, "host", "", "only the counts of this host")
	cmd.Flags().StringVar(&f.source, "source", "", "only entries of this owner: operator, file or a\nmodule such as container-guard")
	cmd.Flags().StringVar(&f.reason, "reason", "", "only entries whose reason has this text")
	completeFlag(cmd, "source", bus.Operator, bus.ContainerGuard, "file")
	return cmd
}

// blockedList is the --json of blocklist list.
type blockedList struct {
	Entries []blockedEntry `json:"entries"`
	Hosts   []blockedHost  `json:"hosts"`
	// Invalid counts values of the bucket that are no block.
	Invalid int `json:"invalid"`
}

type blockedEntry struct {
	Prefix netip.Prefix `json:"prefix"`
	bus.Scope
	Expires *time.Time `json:"expires,omitempty"` // absent for an entry of a file
	Reason  string     `json:"reason,omitempty"`
	Source  string     `json:"source"`
	Hub     bool       `json:"hub,omitempty"`   // copied from the hub of this edge
	Hosts   bus.Hosts  `json:"hosts,omitempty"` // on which it holds; absent: on all
	Created *time.Time `json:"created,omitempty"`
	Hits    []hit      `json:"hits"` // one for each host that enforces it
}

type hit struct {
	Host    string `json:"host"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

type blockedHost struct {
	Host        string                       `json:"host"`
	Entries     int                          `json:"entries"`
	Capacity    int                          `json:"capacity"`
	NotEnforced int                          `json:"not_enforced"`
	Protected   []blocklist.ProtectedAddress `json:"protected"`
}

func (a *app) blocklistList(ctx context.Context, conn *bus.Conn, f blocklistListFlags) error {
	list, err := conn.Blocklist(ctx)
	if err != nil {
		return err
	}
	blocks, invalid, err := list.List(ctx)
	if err != nil {
		return err
	}
	answers, err := requestEngines(ctx, conn, blocklist.ListRequest{Bucket: true, Limit: 5000})
	if err != nil {
		return err
	}
	if f.files {
		more, err := requestEngines(ctx, conn, blocklist.ListRequest{Dropped: true, Limit: 5000})
		if err != nil {
			return err
		}
		answers = append(answers, more...)
	}
	if f.host != "" {
		answers = slices.DeleteFunc(answers, func(a blocklist.ListResponse) bool { return a.Host != f.host })
	}
	all := mergeAnswers(blocks, answers)
	all.Invalid = invalid
	all.Entries = slices.DeleteFunc(all.Entries, func(e blockedEntry) bool { return !f.matches(e) })
	if a.json {
		return a.printJSON(all)
	}
	a.printBlocked(all, f)
	return nil
}

// engineHosts returns the hosts with a packet engine on the bus, sorted.
func engineHosts(ctx context.Context, conn *bus.Conn) ([]string, error) {
	services, err := conn.Discover(ctx, discoverWait)
	if err != nil {
		return nil, err
	}
	var hosts []string
	for _, s := range services {
		if s.Module == bus.EBPFEngine {
			hosts = append(hosts, s.Host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

// requestEngines asks every packet engine on the bus, page by page. An engine
// that does not answer is left out.
func requestEngines(ctx context.Context, conn *bus.Conn, r blocklist.ListRequest) ([]blocklist.ListResponse, error) {
	hosts, err := engineHosts(ctx, conn)
	if err != nil {
		return nil, err
	}
	var answers []blocklist.ListResponse
	for _, host := range hosts {
		page := r
		for range maxPages {
			var a blocklist.ListResponse
			if err := conn.Request(ctx, bus.VerbSubject(bus.EBPFEngine, host, blocklist.VerbList), page, &a); err != nil {
				if ctx.Err() != nil && !errors.Is(ctx.Err(), context.Canceled) {
					return nil, err
				}
				break
			}
			a.Host = host // whatever it says: it speaks for no other
			answers = append(answers, a)
			if !a.More || len(a.Entries) == 0 || r.Limit == 1 {
				break
			}
			page.After = &a.Entries[len(a.Entries)-1].Prefix
		}
	}
	return answers, nil
}

// mergeAnswers joins the blocks of the bucket with the counts of the engines.
func mergeAnswers(blocks []bus.Block, answers []blocklist.ListResponse) blockedList {
	all := blockedList{Entries: []blockedEntry{}, Hosts: []blockedHost{}}
	index := map[string][]int{} // by key, without the hub and the hosts
	for _, b := range blocks {
		key := bus.Block{Prefix: b.Prefix, Scope: b.Scope}.Key()
		index[key] = append(index[key], len(all.Entries))
		all.Entries = append(all.Entries, blockedEntry{
			Prefix: b.Prefix, Scope: b.Scope, Expires: &b.Expires, Created: &b.Created, Reason: b.Reason, Source: b.Source, Hub: b.Hub,
			Hosts: b.Hosts, Hits: []hit{},
		})
	}
	for _, answer := range answers {
		if !slices.ContainsFunc(all.Hosts, func(h blockedHost) bool { return h.Host == answer.Host }) {
			all.Hosts = append(all.Hosts, blockedHost{
				Host: answer.Host, Entries: answer.Total, Capacity: answer.Capacity, NotEnforced: answer.NotEnforced, Protected: answer.Protected,
			})
		}
		for _, e := range answer.Entries {
			key := bus.Block{Prefix: e.Prefix, Scope: e.Scope}.Key()
			if len(index[key]) == 0 {
				if e.Bucket && !e.Feed {
					continue // removed from the bucket meanwhile
				}
				index[key] = []int{len(all.Entries)}
				all.Entries = append(all.Entries, blockedEntry{Prefix: e.Prefix, Source: "file", Hits: []hit{}})
			}
			for _, i := range index[key] {
				all.Entries[i].addHit(hit{Host: answer.Host, Packets: e.Packets, Bytes: e.Bytes})
			}
		}
	}
	return all
}

// addHit adds what a host dropped, if the entry holds there.
func (e *blockedEntry) addHit(h hit) {
	if e.Hosts.Include(h.Host) && !slices.ContainsFunc(e.Hits, func(have hit) bool { return have.Host == h.Host }) {
		e.Hits = append(e.Hits, h)
	}
}

func (a *app) printBlocked(all blockedList, f blocklistListFlags) {
	switch {
	case len(all.Entries) > 0:
	case f.source != "" || f.reason != "":
		a.notef("no such entry")
	default:
		a.notef("no address is blocked")
	}
	entries := rows{columns: []column{{"PREFIX", 60}, {"EXPIRES", 25}, {"SOURCE", 20}, {"DROPPED", 40}, {"REASON", 120}}}
	for _, e := range all.Entries {
		expires := "-"
		if e.Expires != nil {
			expires = a.when(*e.Expires, a.time)
		}
		source := e.Source
		if e.Hub {
			source += " on the hub"
		}
		prefix := withScope(e.Prefix, e.Scope)
		if !e.Hosts.All() {
			prefix += " on " + e.Hosts.String()
		}
		entries.add(prefix, expires, source, e.dropped(len(all.Hosts)), cmp.Or(e.Reason, "-"))
	}
	hosts := rows{columns: []column{{"HOST", 40}, {"ENTRIES", 8}, {"CAPACITY", 8}, {"NOT ENFORCED", 12}, {"PROTECTED", 9}}}
	for _, h := range all.Hosts {
		hosts.add(h.Host, strconv.Itoa(h.Entries), strconv.Itoa(h.Capacity), strconv.Itoa(h.NotEnforced), strconv.Itoa(len(h.Protected)))
	}
	a.printTables(entries, hosts)
	if all.Invalid > 0 {
		a.notef("warning: %d entries of the bucket are no blocks and are ignored", all.Invalid)
	}
}

// dropped returns the packets dropped, by host if there are several hosts.
func (e blockedEntry) dropped(hosts int) string {
	if len(e.Hits) == 0 {
		return "-"
	}
	var parts []string
	for _, h := range e.Hits {
		text := strconv.FormatUint(h.Packets, 10)
		if hosts > 1 {
			text = h.Host + " " + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}
