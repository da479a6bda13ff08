package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

func (a *app) blocklistCheckCommand() *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use:   "check <address>",
		Short: "tell whether an address is blocked, and by what",
		Long: `Asks every packet engine whether it drops the packets of an address: by which
entry, of whom, since when, until when, and how many packets; or why the address
passes. The answer is what the kernel has, not what the bus wants.

Exits with 4 if the address is blocked on a machine.`,
		Example: `  ironpost blocklist check 203.0.113.7
  ironpost blocklist check 2001:db8::7 --host web1 --json`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := netip.ParseAddr(args[0])
			if err != nil || addr.Zone() != "" {
				return usageError(fmt.Errorf("%q is not an address such as 203.0.113.7", args[0]))
			}
			return a.withTimeout(cmd.Context(), a.timeout, func(ctx context.Context, conn *bus.Conn) error {
				return a.blocklistCheck(ctx, conn, addr, host)
			})
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "only this host")
	return cmd
}

func (a *app) blocklistCheck(ctx context.Context, conn *bus.Conn, addr netip.Addr, host string) error {
	answers, err := checkEngines(ctx, conn, addr, host)
	if err != nil {
		return err
	}
	if len(answers) == 0 {
		return errors.New("no packet engine answers, so no packet is dropped (ebpf.enabled)")
	}
	if a.json {
		err = a.printJSON(answers)
	} else {
		for _, answer := range answers {
			a.printCheck(answer)
		}
	}
	if err == nil && slices.ContainsFunc(answers, func(c blocklist.CheckResponse) bool { return c.Verdict == blocklist.Blocked }) {
		return silentError(exitFindings, "the address is blocked")
	}
	return err
}

// checkEngines asks the packet engine of host, or of every host if it is empty.
func checkEngines(ctx context.Context, conn *bus.Conn, addr netip.Addr, host string) ([]blocklist.CheckResponse, error) {
	hosts := []string{host}
	if host == "" {
		found, err := engineHosts(ctx, conn)
		if err != nil {
			return nil, err
		}
		hosts = found
	}
	var answers []blocklist.CheckResponse
	for _, h := range hosts {
		var answer blocklist.CheckResponse
		if err := conn.Request(ctx, bus.VerbSubject(bus.EBPFEngine, h, blocklist.VerbCheck), blocklist.CheckRequest{Address: addr}, &answer); err != nil {
			return nil, fmt.Errorf("packet engine of %s: %w", h, err)
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// filesThatBlock returns the feeds that have addr, each as "file:line on host".
// An engine that does not answer names none.
func (a *app) filesThatBlock(ctx context.Context, conn *bus.Conn, addr netip.Addr) []string {
	answers, err := checkEngines(ctx, conn, addr, "")
	if err != nil {
		a.notef("note: whether a block feed has %s is not known: %v", addr, err)
		return nil
	}
	var files []string
	for _, answer := range answers {
		for _, b := range answer.Blocks {
			if b.File != "" {
				files = append(files, fmt.Sprintf("%s on %s (%s)", fileAndLine(b), answer.Host, b.Prefix))
			}
		}
	}
	return files
}

func fileAndLine(b blocklist.CheckedBlock) string {
	if b.Line == 0 {
		return clean(b.File)
	}
	return fmt.Sprintf("%s:%d", clean(b.File), b.Line)
}

func (a *app) printCheck(c blocklist.CheckResponse) {
	a.printf("%s is %s on %s (%s)", c.Address, c.Verdict, clean(c.Host), cmp.Or(strings.Join(c.Interfaces, ", "), "no interface is watched"))
	if c.Allowed != nil {
		from := ""
		if c.Allowed.From != "" {
			from = ", by " + clean(c.Allowed.From)
		}
		a.printf("it passes whatever is blocked: %s (%s%s)", c.Allowed.Prefix, c.Allowed.Kind, from)
	}
	table := rows{columns: []column{{"PREFIX", 43}, {"", 8}, {"", 200}}}
	for _, b := range c.Blocks {
		prefix := b.Prefix.String()
		for _, line := range a.describeBlock(b) {
			table.add(prefix, line[0], line[1])
			prefix = ""
		}
	}
	a.printTables(table)
}

// describeBlock returns the lines about an entry, each with a name and a value.
func (a *app) describeBlock(b blocklist.CheckedBlock) [][2]string {
	var lines [][2]string
	add := func(name, format string, args ...any) {
		lines = append(lines, [2]string{name, fmt.Sprintf(format, args...)})
	}
	if only := (bus.Scope{Protocol: b.Protocol, Port: b.Port}); !only.All() {
		add("only", "%s", only)
	}
	if b.Rate > 0 {
		add("rate", "%d/s new attempts of each source pass, and what is established", b.Rate)
	}
	if !b.Hosts.All() {
		add("hosts", "%s only", b.Hosts)
	}
	if b.Source != "" {
		add("by", "%s", clean(b.Source))
	}
	if b.Policy != "" {
		add("policy", "%s, alert %s", clean(b.Policy), clean(b.AlertID))
	}
	if b.File != "" {
		add("file", "%s", fileAndLine(b))
	}
	if b.Created != nil {
		add("since", "%s", a.time(*b.Created))
	}
	if b.Expires != nil {
		add("until", "%s", a.time(*b.Expires))
	} else {
		add("until", "the file no longer lists it")
	}
	add("dropped", "%d packets, %d bytes", b.Packets, b.Bytes)
	if b.Reason != "" {
		add("reason", "%s", clean(b.Reason))
	}
	if !b.Enforced {
		add("state", "wanted, but not in the kernel: see ironpost status")
	}
	return lines
}

func (a *app) blocklistAcceptCommand() *cobra.Command {
	var host, reason string
	cmd := &cobra.Command{
		Use:   "accept <file>",
		Short: "accept a block feed that shrank",
		Long: `Puts the contents of a block feed in force that were refused because the feed
fell below half of the size it had within 24 hours. Until then, its previous
contents stay in force and the engine is degraded. The audit trail keeps the
acceptance.`,
		Example: `  ironpost blocklist accept /etc/ironpost/feeds/drop.txt --reason "split in two"`,
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[0])
			if err != nil {
				return usageError(err)
			}
			return a.withTimeout(cmd.Context(), a.timeout, func(ctx context.Context, conn *bus.Conn) error {
				return a.blocklistAccept(ctx, conn, path, host, cmp.Or(reason, defaultReason()))
			})
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "host of the packet engine\n(default: that of the daemon)")
	cmd.Flags().StringVar(&reason, "reason", "", "explanation for later readers")
	return cmd
}

func (a *app) blocklistAccept(ctx context.Context, conn *bus.Conn, path, host, reason string) error {
	host, err := hostOrDaemon(host, conn)
	if err != nil {
		return err
	}
	var feed blocklist.AcceptedFeed
	request := blocklist.AcceptFeedRequest{File: path, Reason: reason}
	if err := conn.Operate(ctx, bus.EBPFEngine, host, blocklist.VerbAccept, request, &feed); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(feed)
	}
	a.printf("%s is accepted with %d prefixes, before %d", clean(feed.File), feed.Now, feed.Before)
	return nil
}
