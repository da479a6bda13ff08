package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

func (a *app) blocklistCommand() *cobra.Command {
	cmd := group("blocklist", "show and change the blocked addresses",
		a.blocklistAddCommand(), a.blocklistDelCommand(), a.blocklistListCommand(),
		a.blocklistCheckCommand(), a.blocklistAcceptCommand())
	cmd.Long = `Shows and changes what every packet engine on the bus drops. An entry is an
address or a prefix and expires. For permanent lists use block feeds: the files
of ebpf.blocklist_files.

The protected addresses of a machine always pass, whatever is blocked: those of
ebpf.allow, its own addresses, gateways, DNS and DHCP servers, the bus, the
peers of SSH logins, loopback and link-local.`
	return cmd
}

type blocklistAddFlags struct {
	duration string
	reason   string
	force    bool
	rate     string
	port     string
}

func (a *app) blocklistAddCommand() *cobra.Command {
	var f blocklistAddFlags
	cmd := &cobra.Command{
		Use:   "add <address or prefix>",
		Short: "block an address or a prefix",
		Long: `Blocks an address or a prefix on every machine of the bus that runs the packet
engine, until --for is over. An existing entry is replaced.

A prefix that covers a protected address of a machine is refused, because it is
probably a mistake. With --force it is blocked; the protected addresses still
pass.

With --rate, new connections, echo requests and conversations beyond the rate
are dropped, and established ones go on; with --port, only what goes there.
Both are entries of their own beside one that blocks all.

The owner of an IPv6 address usually has a whole /64: block that prefix.`,
		Example: `  ironpost blocklist add 203.0.113.7
  ironpost blocklist add 203.0.113.0/24 --for 7d --reason "nightly scans"
  ironpost blocklist add 2001:db8:1:2::/64 --for 1h
  ironpost blocklist add 203.0.113.7 --rate 10/s --port tcp/443 --for 10m
  ironpost blocklist add 192.0.0.0/8 --for 10m --force`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.blocklistAdd(cmd.Context(), args[0], f) },
	}
	cmd.Flags().StringVar(&f.duration, "for", "24h", "`duration` such as 10m, 24h or 30d")
	cmd.Flags().StringVar(&f.reason, "reason", "", "explanation for later readers")
	cmd.Flags().StringVar(&f.port, "port", "", "block this port only, such as tcp/443,\nor this protocol: tcp, udp, icmp")
	cmd.Flags().StringVar(&f.rate, "rate", "", "let so many new attempts of each source\npass, such as 10/s")
	cmd.Flags().BoolVar(&f.force, "force", false, "block even if it covers a protected address")
	return cmd
}

func (a *app) blocklistAdd(ctx context.Context, text string, f blocklistAddFlags) error {
	b, err := newBlock(text, f)
	if err != nil {
		return usageError(err)
	}
	return a.withTimeout(ctx, a.timeout, func(ctx context.Context, conn *bus.Conn) error {
		engines, err := requestEngines(ctx, conn, blocklist.ListRequest{Limit: 1})
		if err != nil {
			return err
		}
		if covered := a.coveredProtected(engines, b.Prefix); len(covered) > 0 && !f.force {
			return coversProtectedError(b.Prefix, covered)
		}
		waited := time.Since(b.Created) // for the answers above; not part of the duration
		b.Created, b.Expires = b.Created.Add(waited), b.Expires.Add(waited)
		var done bus.BlockReply
		if err := operateDaemon(ctx, conn, bus.VerbBlock, bus.BlockRequest{Block: b}, &done); err != nil {
			return err
		}
		return a.reportAdded(b, done.Before, len(engines))
	})
}

// operateDaemon asks the daemon of the bus for an act about the blocklist. Over the network it is not known which of those that answer that is.
func operateDaemon(ctx context.Context, conn *bus.Conn, verb string, req, resp any) error {
	hosts := []string{conn.Host()}
	if hosts[0] == "" {
		found, err := conn.Discover(ctx, time.Second)
		if err != nil {
			return err
		}
		hosts = nil
		for _, s := range found {
			if s.Module == bus.Daemon {
				hosts = append(hosts, s.Host)
			}
		}
	}
	err := fmt.Errorf("%w: no daemon answers", bus.ErrUnreachable)
	for _, host := range hosts { // an edge answers too, for its status alone
		if err = conn.Operate(ctx, bus.Daemon, host, verb, req, resp); !errors.Is(err, bus.ErrUnreachable) {
			return err
		}
	}
	return err
}

func newBlock(text string, f blocklistAddFlags) (bus.Block, error) {
	prefix, err := bus.ParseBlockPrefix(text)
	if err != nil {
		return bus.Block{}, err
	}
	if err := bus.CheckBlockWidth(prefix); err != nil {
		return bus.Block{}, err
	}
	d, ok := parseDuration(f.duration)
	if !ok || d < time.Second || d > bus.MaxBlockTime {
		return bus.Block{}, fmt.Errorf("--for %q is not a duration from 1s to %dd, such as 10m, 24h or 30d", f.duration, bus.MaxBlockTime/(24*time.Hour))
	}
	scope, err := parseScope(f.port, f.rate)
	if err != nil {
		return bus.Block{}, err
	}
	now := time.Now().UTC()
	b := bus.Block{Prefix: prefix, Scope: scope, Created: now, Expires: now.Add(d), Source: bus.Operator, Reason: cmp.Or(f.reason, defaultReason())}
	_, _, _, err = b.Encode(now)
	return b, err
}

// parseScope reads --port and --rate.
func parseScope(port, rate string) (s bus.Scope, err error) {
	protocol, number, hasPort := strings.Cut(port, "/")
	s.Protocol = protocol
	if hasPort {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return s, fmt.Errorf("--port %q is not a port such as tcp/443, nor tcp, udp or icmp", port)
		}
		s.Port = uint16(n)
	}
	if rate == "" {
		return s, nil
	}
	s.Rate, err = strconv.Atoi(strings.TrimSuffix(rate, "/s"))
	if err != nil || s.Rate < 1 || !strings.HasSuffix(rate, "/s") {
		return s, fmt.Errorf("--rate %q is not a rate such as 10/s", rate)
	}
	return s, nil
}

func (a *app) reportAdded(b, old bus.Block, engines int) error {
	if b.Prefix.Addr().Is6() && b.Prefix.IsSingleIP() {
		wider, _ := b.Prefix.Addr().Prefix(64) // an IPv6 address has 64 bits
		a.notef("note: this is a single address; its owner most likely has all of %s", wider)
	}
	if engines == 0 {
		a.notef("note: no packet engine answers; the entry takes effect once one runs (ebpf.enabled)")
	}
	if a.json {
		return a.printJSON(b)
	}
	replaced := ""
	if old.Source != "" {
		replaced = fmt.Sprintf(" (before: until %s, by %s)", a.time(old.Expires), clean(old.Source))
	}
	what := "blocked"
	if !b.All() {
		what = "limited (" + b.Scope.String() + ")"
	}
	a.printf("%s is %s until %s%s", b.Prefix, what, a.time(b.Expires), replaced)
	return nil
}

// protectedAddress belongs to a host; an empty host is this machine.
type protectedAddress struct {
	host string
	blocklist.ProtectedAddress
}

// coveredProtected returns the protected addresses that prefix covers: those
// that the engines report; if there are none, those of this machine as far as
// this user can read them, and the peer of this SSH session.
func (a *app) coveredProtected(engines []blocklist.ListResponse, prefix netip.Prefix) []protectedAddress {
	var found []protectedAddress
	for _, e := range engines {
		for _, l := range blocklist.Covered(e.Protected, prefix) {
			found = append(found, protectedAddress{host: e.Host, ProtectedAddress: l})
		}
	}
	if a.url != "" || len(found) > 0 {
		return found
	}
	var ssh []netip.Addr // see SSH_CONNECTION in ssh(1)
	peer, _, _ := strings.Cut(os.Getenv("SSH_CONNECTION"), " ")
	if addr, err := netip.ParseAddr(peer); err == nil {
		ssh = []netip.Addr{addr}
	}
	local, _ := blocklist.ProtectedAddresses(ssh) // what this user cannot read, the engine protects
	for _, l := range blocklist.Covered(local, prefix) {
		found = append(found, protectedAddress{ProtectedAddress: l})
	}
	return found
}

func coversProtectedError(prefix netip.Prefix, covered []protectedAddress) error {
	const maxNames = 4
	var names []string
	for _, l := range covered[:min(len(covered), maxNames)] {
		names = append(names, fmt.Sprintf("%s (%s of %s)", l.Prefix, l.Kind, cmp.Or(l.host, "this machine")))
	}
	if more := len(covered) - maxNames; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("%s covers %s; protected addresses always pass, use --force to block the rest", prefix, strings.Join(names, ", "))
}

func (a *app) blocklistDelCommand() *cobra.Command {
	var port string
	cmd := &cobra.Command{
		Use:     "del <address or prefix>...",
		Aliases: []string{"rm"},
		Short:   "remove entries",
		Long: `Removes the entries of these prefixes from the blocklist of the bus, those of
ports and with a rate included; with --port only those of that port or protocol.
What a block feed or a wider entry covers stays blocked.`,
		Example: `  ironpost blocklist del 203.0.113.7
  ironpost blocklist del 203.0.113.7 --port tcp/443
  ironpost blocklist del 203.0.113.0/24 2001:db8:1:2::/64`,
		Args: atLeastOneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.blocklistDel(cmd.Context(), args, port) },
	}
	cmd.Flags().StringVar(&port, "port", "", "only the entries of this port, such as tcp/443,\nor this protocol: tcp, udp, icmp")
	return cmd
}

func (a *app) blocklistDel(ctx context.Context, args []string, port string) error {
	scope, err := parseScope(port, "")
	if err != nil {
		return usageError(err)
	}
	var prefixes []netip.Prefix
	for _, text := range args {
		p, err := bus.ParseBlockPrefix(text)
		if err != nil {
			return usageError(err)
		}
		prefixes = append(prefixes, p)
	}
	return a.withTimeout(ctx, a.timeout, func(ctx context.Context, conn *bus.Conn) error {
		list, err := conn.Blocklist(ctx)
		if err != nil {
			return err
		}
		before, _, err := list.List(ctx)
		if err != nil {
			return err
		}
		var missing []error
		for _, p := range prefixes {
			var done bus.UnblockReply
			if err := operateDaemon(ctx, conn, bus.VerbUnblock, bus.UnblockRequest{Prefix: p, Scope: scope, Reason: defaultReason()}, &done); err != nil {
				return err
			}
			if err := a.reportRemoved(p, scope, before, a.filesThatBlock(ctx, conn, p.Addr())); err != nil {
				missing = append(missing, err)
			}
		}
		return errors.Join(missing...)
	})
}

// reportRemoved prints that the entries of p were removed, or returns an error
// if there were none; before are the entries before the removal, files the feeds
// that have the address.
func (a *app) reportRemoved(p netip.Prefix, scope bus.Scope, before []bus.Block, files []string) error {
	removed := bus.UnblockRequest{Prefix: p, Scope: scope}.Entries(before)
	var others []string
	for _, b := range before {
		switch {
		case slices.Contains(removed, b) || b.Prefix.Bits() > p.Bits() || !b.Prefix.Contains(p.Addr()):
		case b.Prefix == p && b.Hub:
			others = append(others, "the hub (remove it there)")
		default:
			others = append(others, withScope(b.Prefix, b.Scope))
		}
	}
	others = append(others, files...)
	still := ""
	if len(others) > 0 {
		still = "; it is still blocked by " + strings.Join(others, ", ")
	}
	what := withScope(p, scope)
	if len(removed) == 0 {
		return fmt.Errorf("%s has no entry%s", what, still)
	}
	if a.json {
		return a.printJSON(removedBlock{Prefix: p, Removed: removed, StillBlockedBy: orEmpty(others)})
	}
	a.printf("%s is removed%s", what, still)
	return nil
}

// removedBlock is the --json of blocklist del, a line for each prefix.
type removedBlock struct {
	Prefix         netip.Prefix `json:"prefix"`
	Removed        []bus.Block  `json:"removed"`
	StillBlockedBy []string     `json:"still_blocked_by"` // wider entries, the hub, and block feeds
}

// withScope returns "203.0.113.7/32 tcp/443, 10/s", without the scope for all packets.
func withScope(p netip.Prefix, s bus.Scope) string {
	return strings.TrimSpace(p.String() + " " + s.String())
}
