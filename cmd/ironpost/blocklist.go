package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

func (a *app) blocklistCommand() *cobra.Command {
	cmd := group("blocklist", "whom the kernel drops, and for how long",
		a.blocklistAddCommand(), a.blocklistDelCommand(), a.blocklistListCommand())
	cmd.Long = `Shows and changes what every packet engine on the bus drops. Entries are addresses
or prefixes with an end; lists that shall hold for ever are files, named in
ebpf.blocklist_files.

The lifelines of a machine (its own addresses, gateways, DNS and DHCP servers, the
bus, the other ends of SSH logins, loopback and link-local) pass whatever is
blocked.`
	return cmd
}

// addFlags are those of blocklist add.
type addFlags struct {
	last   string
	reason string
	force  bool
}

func (a *app) blocklistAddCommand() *cobra.Command {
	var f addFlags
	cmd := &cobra.Command{
		Use:   "add <address or prefix>",
		Short: "block an address or a prefix",
		Long: `Blocks an address or a prefix on every machine of the bus whose packet engine runs,
from now until the time is over. An entry that is there is replaced.

A prefix that covers a lifeline of a machine is refused, because it blocks so much
that it is more likely a slip: with --force it is blocked, and all but the
lifelines are dropped. An address of IPv6 is one of the many its owner has; to block
the owner, block the /64 it is in.`,
		Example: `  ironpost blocklist add 203.0.113.7
  ironpost blocklist add 203.0.113.0/24 --for 7d --reason "scans us every night"
  ironpost blocklist add 2001:db8:1:2::/64 --for 1h
  ironpost blocklist add 0.0.0.0/0 --for 10m --force     lifelines only`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.blocklistAdd(cmd.Context(), args[0], f) },
	}
	cmd.Flags().StringVar(&f.last, "for", "24h", "how `long`, such as 10m, 24h or 30d")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for those who wonder later")
	cmd.Flags().BoolVar(&f.force, "force", false, "even if it covers a lifeline")
	return cmd
}

func (a *app) blocklistDelCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "del <address or prefix>…",
		Aliases: []string{"rm"},
		Short:   "lift a block",
		Long: `Removes entries from the blocklist of the bus. What a file wants stays blocked, and
so does what a wider entry covers.`,
		Example: `  ironpost blocklist del 203.0.113.7
  ironpost blocklist list --json | jq -r '.entries[] | select(.source == "container-guard") | .prefix' | xargs ironpost blocklist del`,
		Args: someArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return a.blocklistDel(cmd.Context(), args) },
	}
}

func (a *app) blocklistAdd(ctx context.Context, text string, f addFlags) error {
	b, err := a.newBlock(text, f)
	if err != nil {
		return usage(err)
	}
	return a.ask(ctx, func(ctx context.Context, conn *bus.Conn) error {
		engines, err := askEngines(ctx, conn, blocklist.ListRequest{Limit: 1})
		if err != nil {
			return err
		}
		if covered := a.covered(engines, b.Prefix); len(covered) > 0 && !f.force {
			return tooMuch(b.Prefix, covered)
		}
		list, err := conn.Blocklist(ctx)
		if err != nil {
			return err
		}
		old, err := list.Get(ctx, b.Prefix)
		if err != nil && !errors.Is(err, bus.ErrNotFound) && !errors.Is(err, bus.ErrInvalidBlock) {
			return err
		}
		took := time.Since(b.Created) // asking around is not part of the time
		b.Created, b.Expires = b.Created.Add(took), b.Expires.Add(took)
		if err := list.Put(ctx, b); err != nil {
			return err
		}
		return a.added(b, old, len(engines))
	})
}

func (a *app) newBlock(text string, f addFlags) (bus.Block, error) {
	prefix, err := bus.ParseBlockPrefix(text)
	if err != nil {
		return bus.Block{}, err
	}
	d, ok := duration(f.last)
	if !ok || d < time.Second || d > bus.MaxBlockTime {
		return bus.Block{}, fmt.Errorf("--for %q is no duration from 1s to %dd, such as 10m, 24h or 30d", f.last, bus.MaxBlockTime/(24*time.Hour))
	}
	now := time.Now().UTC()
	b := bus.Block{Prefix: prefix, Created: now, Expires: now.Add(d), Source: bus.Operator, Reason: f.reason}
	if b.Reason == "" {
		b.Reason = byWhom()
	}
	_, _, _, err = b.Encode(now)
	return b, err
}

// byWhom names who asks, behind sudo too; it is the reason where none is given.
func byWhom() string {
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); err == nil {
		name = cmp.Or(name, u.Username)
	}
	if name = strings.ToValidUTF8(name, "?"); name == "" || len(name) > bus.MaxBlockReason/2 {
		return ""
	}
	return "by " + name
}

func (a *app) added(b, old bus.Block, engines int) error {
	if b.Prefix.Addr().Is6() && b.Prefix.IsSingleIP() {
		wider, _ := b.Prefix.Addr().Prefix(64) // an IPv6 address has 64 bits
		a.tell(fmt.Sprintf("note: this is one address; its owner has more, most likely all of %s", wider))
	}
	if engines == 0 {
		a.tell("note: no packet engine answers; the entry is in force once one runs (ebpf.enabled)")
	}
	if a.json {
		return a.printJSON(b)
	}
	text := fmt.Sprintf("%s is blocked until %s", b.Prefix, a.when(b.Expires))
	if old.Source != "" {
		text += fmt.Sprintf("; it was until %s, by %s", a.when(old.Expires), clean(old.Source))
	}
	a.line(text)
	return nil
}

// lifeline is one of a host; the zero host is where this command runs.
type lifeline struct {
	host string
	blocklist.ProtectedAddress
}

// covered returns the lifelines that a block of prefix would cover: those the engines know, or this machine's own as far as
// anybody may know them, and where this very login comes from.
func (a *app) covered(engines []blocklist.ListResponse, prefix netip.Prefix) []lifeline {
	var found []lifeline
	for _, e := range engines {
		for _, l := range blocklist.Covered(e.Protected, prefix) {
			found = append(found, lifeline{host: e.Host, ProtectedAddress: l})
		}
	}
	if a.url != "" || len(found) > 0 {
		return found
	}
	local, _ := blocklist.ProtectedAddresses(loginAddress()) // what cannot be looked at, the engine looks at
	for _, l := range blocklist.Covered(local, prefix) {
		found = append(found, lifeline{ProtectedAddress: l})
	}
	return found
}

// loginAddress is where an SSH session comes from (ssh(1), SSH_CONNECTION).
func loginAddress() []netip.Addr {
	text, _, _ := strings.Cut(os.Getenv("SSH_CONNECTION"), " ")
	if addr, err := netip.ParseAddr(text); err == nil {
		return []netip.Addr{addr}
	}
	return nil
}

func tooMuch(prefix netip.Prefix, covered []lifeline) error {
	const shownAtMost = 4
	var names []string
	for _, l := range covered[:min(len(covered), shownAtMost)] {
		names = append(names, fmt.Sprintf("%s (%s of %s)", l.Prefix, l.Kind, cmp.Or(l.host, "this machine")))
	}
	if more := len(covered) - shownAtMost; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("%s covers %s, which stay reachable whatever is blocked; to drop everybody else in it, use --force", prefix, strings.Join(names, ", "))
}

func (a *app) blocklistDel(ctx context.Context, args []string) error {
	var wanted []netip.Prefix
	for _, text := range args {
		p, err := bus.ParseBlockPrefix(text)
		if err != nil {
			return usage(err)
		}
		wanted = append(wanted, p)
	}
	return a.ask(ctx, func(ctx context.Context, conn *bus.Conn) error {
		list, err := conn.Blocklist(ctx)
		if err != nil {
			return err
		}
		blocks, _, err := list.List(ctx)
		if err != nil {
			return err
		}
		var missing []error
		for _, p := range wanted {
			if err := list.Remove(ctx, p); err != nil {
				return err
			}
			if err := a.deleted(p, blocks); err != nil {
				missing = append(missing, err)
			}
		}
		return errors.Join(missing...)
	})
}

// deleted tells what became of p, given the entries before.
func (a *app) deleted(p netip.Prefix, before []bus.Block) error {
	was := slices.ContainsFunc(before, func(b bus.Block) bool { return b.Prefix == p })
	var wider []string
	for _, b := range before {
		if b.Prefix != p && b.Prefix.Bits() < p.Bits() && b.Prefix.Contains(p.Addr()) {
			wider = append(wider, b.Prefix.String())
		}
	}
	still := ""
	if len(wider) > 0 {
		still = "; it is still blocked by " + strings.Join(wider, ", ")
	}
	if !was {
		return fmt.Errorf("%s has no entry%s", p, still)
	}
	if !a.json {
		a.line(fmt.Sprintf("%s is removed%s", p, still))
	}
	return nil
}
