package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// maxPages bounds how often one engine is asked for more.
const maxPages = 1000

// listFlags are those of blocklist list.
type listFlags struct {
	files bool
	host  string
}

func (a *app) blocklistListCommand() *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "what is blocked, until when, and how much it dropped",
		Long: `Lists the entries of the bus's blocklist, and how many packets each has dropped on
each machine whose packet engine answers; "-" where none does. Entries that come from
files are not listed, because they may be a million; --files adds those that dropped
something.`,
		Example: `  ironpost blocklist list
  ironpost blocklist list --files --host web1
  ironpost blocklist list --json | jq '.entries[] | select(.hits[].packets > 0)'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, conn *bus.Conn) error { return a.blocklistList(ctx, conn, f) })
		},
	}
	cmd.Flags().BoolVar(&f.files, "files", false, "also entries of files that dropped something")
	cmd.Flags().StringVar(&f.host, "host", "", "only what this host says of it")
	return cmd
}

// blocked is the --json of blocklist list.
type blocked struct {
	Entries []blockedEntry `json:"entries"`
	Hosts   []blockedHost  `json:"hosts"`
	// Invalid counts what is in the bucket and is no block.
	Invalid int `json:"invalid"`
}

type blockedEntry struct {
	Prefix  netip.Prefix `json:"prefix"`
	Expires *time.Time   `json:"expires,omitempty"` // absent: a file's
	Reason  string       `json:"reason,omitempty"`
	Source  string       `json:"source"`
	Created *time.Time   `json:"created,omitempty"`
	Hits    []hit        `json:"hits"` // one for each host that enforces it
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
	Lifelines   []blocklist.ProtectedAddress `json:"lifelines"`
}

func (a *app) blocklistList(ctx context.Context, conn *bus.Conn, f listFlags) error {
	list, err := conn.Blocklist(ctx)
	if err != nil {
		return err
	}
	blocks, invalid, err := list.List(ctx)
	if err != nil {
		return err
	}
	answers, err := askEngines(ctx, conn, blocklist.ListRequest{Bucket: true, Limit: 5000})
	if err != nil {
		return err
	}
	if f.files {
		more, err := askEngines(ctx, conn, blocklist.ListRequest{Dropped: true, Limit: 5000})
		if err != nil {
			return err
		}
		answers = append(answers, more...)
	}
	all := gather(blocks, keepHost(answers, f.host))
	all.Invalid = invalid
	if a.json {
		return a.printJSON(all)
	}
	return a.printBlocked(all)
}

func keepHost(answers []blocklist.ListResponse, host string) []blocklist.ListResponse {
	if host == "" {
		return answers
	}
	return slices.DeleteFunc(answers, func(a blocklist.ListResponse) bool { return a.Host != host })
}

// askEngines asks every engine on the bus, page by page. One that does not answer is left out.
func askEngines(ctx context.Context, conn *bus.Conn, r blocklist.ListRequest) ([]blocklist.ListResponse, error) {
	services, err := conn.Discover(ctx, discoverWait)
	if err != nil {
		return nil, err
	}
	services = slices.DeleteFunc(services, func(s bus.ServiceStatus) bool { return s.Module != bus.EBPFEngine })
	same := func(a, b bus.ServiceStatus) bool { return a.Host == b.Host } // they are sorted by host
	var answers []blocklist.ListResponse
	for _, s := range slices.CompactFunc(services, same) {
		next := r
		for range maxPages {
			var a blocklist.ListResponse
			if err := conn.Request(ctx, bus.VerbSubject(s.Module, s.Host, "blocklist"), next, &a); err != nil {
				if ctx.Err() != nil && !errors.Is(ctx.Err(), context.Canceled) {
					return nil, err
				}
				break
			}
			a.Host = cmp.Or(a.Host, s.Host)
			answers = append(answers, a)
			if !a.More || len(a.Entries) == 0 || r.Limit == 1 {
				break
			}
			next.After = &a.Entries[len(a.Entries)-1].Prefix
		}
	}
	return answers, nil
}

// gather joins what the bucket wants with what the engines say.
func gather(blocks []bus.Block, answers []blocklist.ListResponse) blocked {
	all := blocked{Entries: []blockedEntry{}, Hosts: []blockedHost{}}
	at := map[netip.Prefix]int{}
	for _, b := range blocks {
		at[b.Prefix] = len(all.Entries)
		all.Entries = append(all.Entries, blockedEntry{
			Prefix: b.Prefix, Expires: &b.Expires, Created: &b.Created, Reason: b.Reason, Source: b.Source, Hits: []hit{},
		})
	}
	for _, answer := range answers {
		all.host(answer)
		for _, e := range answer.Entries {
			i, known := at[e.Prefix]
			if !known {
				if e.Bucket && !e.Feed {
					continue // removed meanwhile
				}
				i = len(all.Entries)
				at[e.Prefix] = i
				all.Entries = append(all.Entries, blockedEntry{Prefix: e.Prefix, Source: "file", Hits: []hit{}})
			}
			all.Entries[i].hit(hit{Host: answer.Host, Packets: e.Packets, Bytes: e.Bytes})
		}
	}
	return all
}

func (all *blocked) host(a blocklist.ListResponse) {
	if slices.ContainsFunc(all.Hosts, func(h blockedHost) bool { return h.Host == a.Host }) {
		return
	}
	all.Hosts = append(all.Hosts, blockedHost{
		Host: a.Host, Entries: a.Total, Capacity: a.Capacity, NotEnforced: a.NotEnforced, Lifelines: a.Protected,
	})
}

// hit adds what one host says, once.
func (e *blockedEntry) hit(h hit) {
	if !slices.ContainsFunc(e.Hits, func(have hit) bool { return have.Host == h.Host }) {
		e.Hits = append(e.Hits, h)
	}
}

func (a *app) printBlocked(all blocked) error {
	if len(all.Entries) == 0 {
		a.tell("no address is blocked")
	}
	var rows [][]string
	for _, e := range all.Entries {
		expires := "-"
		if e.Expires != nil {
			expires = a.when(*e.Expires)
		}
		rows = append(rows, []string{e.Prefix.String(), expires, e.Source, e.dropped(len(all.Hosts)), cmp.Or(e.Reason, "-")})
	}
	var hosts [][]string
	for _, h := range all.Hosts {
		hosts = append(hosts, []string{h.Host, strconv.Itoa(h.Entries), strconv.Itoa(h.Capacity), strconv.Itoa(h.NotEnforced), strconv.Itoa(len(h.Lifelines))})
	}
	err := a.printTables(
		part{[]column{{"PREFIX", 43}, {"EXPIRES", 25}, {"SOURCE", 20}, {"DROPPED", 40}, {"REASON", 120}}, rows},
		part{[]column{{"HOST", 40}, {"ENTRIES", 8}, {"ROOM FOR", 8}, {"NOT ENFORCED", 12}, {"LIFELINES", 9}}, hosts},
	)
	if all.Invalid > 0 {
		a.tell(fmt.Sprintf("warning: %d entries of the bucket are no blocks and are ignored", all.Invalid))
	}
	return err
}

// dropped says how many packets, by host if there are several.
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
