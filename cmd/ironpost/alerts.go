package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

func (a *app) alertsCommand() *cobra.Command {
	var p page
	var f alertFlags
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "what was found",
		Long: `Lists alerts, the newest last. An alert whose count is above 1 says how often a
thing happened that was reported before. With --json each alert is one line, as
docs/events.md describes it.`,
		Example: `  ironpost alerts
  ironpost alerts --since 7d --severity high
  ironpost alerts --source 203.0.113.0/24 --host web-1
  ironpost alerts --follow --json | jq -r '.title'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter()
			if err != nil {
				return usage(err)
			}
			return a.list(cmd.Context(), p, a.alerts(p.host, filter))
		},
	}
	p.flags(cmd)
	cmd.Flags().StringVar(&f.severity, "severity", "", "this severity or worse: info, low, medium, high, critical")
	cmd.Flags().StringVar(&f.rule, "rule", "", "only of rules whose id is this or whose title holds it")
	cmd.Flags().StringVar(&f.source, "source", "", "only from this address or network, such as 203.0.113.0/24")
	complete(cmd, "severity", "info", "low", "medium", "high", "critical")
	return cmd
}

// alertFlags are what a user typed, alertFilter what it means.
type alertFlags struct{ severity, rule, source string }

type alertFilter struct {
	severity event.Severity
	rule     string
	source   netip.Prefix // not valid: any
}

func (f alertFlags) filter() (alertFilter, error) {
	out := alertFilter{rule: strings.ToLower(f.rule)}
	var err error
	if f.severity != "" {
		if out.severity, err = event.ParseSeverity(strings.ToLower(f.severity)); err != nil {
			return out, fmt.Errorf("--severity: %w", err)
		}
	}
	if f.source != "" {
		if out.source, err = network(f.source); err != nil {
			return out, fmt.Errorf("--source %q is neither an address nor a network such as 203.0.113.0/24", f.source)
		}
	}
	return out, nil
}

// network reads an address as the network of itself.
func network(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		return p.Masked(), err
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return ip.Unmap().Prefix(ip.Unmap().BitLen())
}

func (f alertFilter) passes(a *event.Alert) bool {
	return a.Severity >= f.severity && f.ofRule(a.Rule) && f.fromSource(a.Source)
}

func (f alertFilter) ofRule(r event.Rule) bool {
	return f.rule == "" || strings.ToLower(r.ID) == f.rule || strings.Contains(strings.ToLower(r.Title), f.rule)
}

func (f alertFilter) fromSource(e *event.Endpoint) bool {
	if !f.source.IsValid() {
		return true
	}
	if e == nil {
		return false
	}
	ip, err := netip.ParseAddr(e.IP)
	return err == nil && f.source.Contains(ip.Unmap())
}

func (a *app) alerts(host string, filter alertFilter) records {
	return records{
		name: "alerts", stream: bus.Alerts, feed: bus.RepublishedAlerts, subject: bus.AlertSubject("*", cmp.Or(host, "*")),
		columns: []column{{"TIME", 25}, {"SEVERITY", 8}, {"HOST", 20}, {"SOURCE", 39}, {"USER", 20}, {"COUNT", 6}, {"TITLE", 120}},
		row: func(data []byte) ([]string, error) {
			var alert event.Alert
			if err := decode(data, &alert); err != nil || !filter.passes(&alert) {
				return nil, err
			}
			return []string{
				a.when(alert.Time), alert.Severity.String(), alert.Host, address(alert.Source), cmp.Or(alert.User, "-"),
				strconv.Itoa(alert.Count), alert.Title,
			}, nil
		},
	}
}

func address(e *event.Endpoint) string {
	if e == nil || e.IP == "" {
		return "-"
	}
	return e.IP
}

// complete offers the values of a flag to the shell.
func complete(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // a flag that is not there: a mistake in this program
	}
}
