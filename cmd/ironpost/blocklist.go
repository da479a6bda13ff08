package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
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

The owner of an IPv6 address usually has a whole /64: block that prefix.`,
		Example: `  ironpost blocklist add 203.0.113.7
  ironpost blocklist add 203.0.113.0/24 --for 7d --reason "nightly scans"
  ironpost blocklist add 2001:db8:1:2::/64 --for 1h
  ironpost blocklist add 192.0.0.0/8 --for 10m --force`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.blocklistAdd(cmd.Context(), args[0], f) },
	}
	cmd.Flags().StringVar(&f.duration, "for", "24h", "`duration` such as 10m, 24h or 30d")
	cmd.Flags().StringVar(&f.reason, "reason", "", "explanation for later readers")
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
		list, err := conn.Blocklist(ctx)
		if err != nil {
			return err
		}
		old, err := list.Get(ctx, b.Prefix)
		if err != nil && !errors.Is(err, bus.ErrNotFound) && !errors.Is(err, bus.ErrInvalidBlock) {
			return err
		}
		waited := time.Since(b.Created) // for the answers above; not part of the duration
		b.Created, b.Expires = b.Created.Add(waited), b.Expires.Add(waited)
		if err := list.Put(ctx, b); err != nil {
			return err
		}
		return a.reportAdded(b, old, len(engines))
	})
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
	now := time.Now().UTC()
	b := bus.Block{Prefix: prefix, Created: now, Expires: now.Add(d), Source: bus.Operator, Reason: cmp.Or(f.reason, defaultReason())}
	_, _, _, err = b.Encode(now)
	return b, err
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
	a.printf("%s is blocked until %s%s", b.Prefix, a.time(b.Expires), replaced)
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
	return &cobra.Command{
		Use:     "del <address or prefix>...",
		Aliases: []string{"rm"},
		Short:   "remove entries",
		Long: `Removes entries from the blocklist of the bus. What a block feed or a wider
entry covers stays blocked.`,
		Example: `  ironpost blocklist del 203.0.113.7
  ironpost blocklist del 203.0.113.0/24 2001:db8:1:2::/64`,
		Args: atLeastOneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.blocklistDel(cmd.Context(), args) },
	}
}

func (a *app) blocklistDel(ctx context.Context, args []string) error {
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
			if err := list.Remove(ctx, p); err != nil {
				return err
			}
			if err := a.reportRemoved(p, before, a.filesThatBlock(ctx, conn, p.Addr())); err != nil {
				missing = append(missing, err)
			}
		}
		return errors.Join(missing...)
	})
}

// reportRemoved prints that p was removed, or returns an error if it had no
// entry; before are the entries before the removal, files the feeds that have
// the address.
func (a *app) reportRemoved(p netip.Prefix, before []bus.Block, files []string) error {
	existed := slices.ContainsFunc(before, func(b bus.Block) bool { return b.Prefix == p && !b.Hub })
	var wider []string
	for _, b := range before {
		if b.Prefix == p && b.Hub {
			wider = append(wider, "the hub (remove it there)")
		}
		if b.Prefix != p && b.Prefix.Bits() < p.Bits() && b.Prefix.Contains(p.Addr()) {
			wider = append(wider, b.Prefix.String())
		}
	}
	wider = append(wider, files...)
	still := ""
	if len(wider) > 0 {
		still = "; it is still blocked by " + strings.Join(wider, ", ")
	}
	if !existed {
		return fmt.Errorf("%s has no entry%s", p, still)
	}
	if !a.json {
		a.printf("%s is removed%s", p, still)
	}
	return nil
}
