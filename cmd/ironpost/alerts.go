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

var severities = []string{"info", "low", "medium", "high", "critical"}

func (a *app) alertsCommand() *cobra.Command {
	var list recordFlags
	var severity, rule, source string
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "list alerts",
		Long: `Lists alerts, the newest last. A COUNT above 1 marks an update: that many
events belong to an alert that was raised before. With --json every alert is
one line, as docs/events.md describes it.`,
		Example: `  ironpost alerts
  ironpost alerts --since 7d --severity high
  ironpost alerts --source 203.0.113.0/24 --host web-1
  ironpost alerts --follow --json | jq -r '.title'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := newAlertFilter(severity, rule, source)
			if err != nil {
				return usageError(err)
			}
			return a.listRecords(cmd.Context(), list, a.alertKind(list.host, filter))
		},
	}
	list.register(cmd)
	cmd.Flags().StringVar(&severity, "severity", "", "this severity or higher:\n"+strings.Join(severities, ", "))
	cmd.Flags().StringVar(&rule, "rule", "", "only of the rule with this id, or with this\ntext in its title")
	cmd.Flags().StringVar(&source, "source", "", "only from this address or network, such as\n203.0.113.0/24")
	completeFlag(cmd, "severity", severities...)
	return cmd
}

type alertFilter struct {
	severity event.Severity
	rule     string       // lower case
	source   netip.Prefix // not valid: any
}

func newAlertFilter(severity, rule, source string) (alertFilter, error) {
	f := alertFilter{rule: strings.ToLower(rule)}
	var err error
	if severity != "" {
		if f.severity, err = event.ParseSeverity(strings.ToLower(severity)); err != nil {
			return f, fmt.Errorf("--severity: %w", err)
		}
	}
	if source != "" {
		if f.source, err = parseNetwork(source); err != nil {
			return f, fmt.Errorf("--source %q is neither an address nor a network such as 203.0.113.0/24", source)
		}
	}
	return f, nil
}

func (f alertFilter) matches(a *event.Alert) bool {
	if a.Severity < f.severity {
		return false
	}
	if f.rule != "" && strings.ToLower(a.Rule.ID) != f.rule && !strings.Contains(strings.ToLower(a.Rule.Title), f.rule) {
		return false
	}
	if !f.source.IsValid() {
		return true
	}
	if a.Source == nil {
		return false
	}
	ip, err := netip.ParseAddr(a.Source.IP)
	return err == nil && f.source.Contains(ip.Unmap())
}

func (a *app) alertKind(host string, filter alertFilter) recordKind {
	return recordKind{
		name: "alerts", stream: bus.Alerts, republished: bus.RepublishedAlerts, subject: bus.AlertSubject("*", cmp.Or(host, "*")),
		columns: []column{{"TIME", 25}, {"SEVERITY", 8}, {"HOST", 20}, {"SOURCE", 39}, {"USER", 20}, {"COUNT", 6}, {"TITLE", 120}},
		row: func(data []byte) ([]string, error) {
			var alert event.Alert
			if err := decodeRecord(data, &alert); err != nil || !filter.matches(&alert) {
				return nil, err
			}
			return []string{
				a.time(alert.Time), alert.Severity.String(), alert.Host, ipOrDash(alert.Source), cmp.Or(alert.User, "-"),
				strconv.Itoa(alert.Count), alert.Title,
			}, nil
		},
	}
}

func ipOrDash(e *event.Endpoint) string {
	if e == nil {
		return "-"
	}
	return cmp.Or(e.IP, "-")
}
