package main

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
)

var severities = []string{"info", "low", "medium", "high", "critical"}

func (a *app) alertsCommand() *cobra.Command {
	var list recordFlags
	var severity, rule, source, address string
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "list alerts",
		Long: `Lists alerts, the newest last. An attack that goes on is a series of alerts and
one line: when it was last seen, COUNT matches, and its STATE (open: one match
so far, ongoing, over). TRUST is how far the origin of the evidence is proven,
as its sender claims. HOST is there if there are several; SOURCE is the user
where no address is known. TITLE ends with the host that the line names, the
container and the target. With --json every alert is one line as it is stored,
so a series has several; --follow prints each of them, too. See docs/events.md.

"ironpost alerts show <id>" prints everything about one. An id is any beginning
of the short one in the list or of the full one that names one series.

They come from PostgreSQL if log_pipeline.storage.postgres_url is set, else from
the streams of the bus. --socket, --url and --follow always read the streams.`,
		Example: `  ironpost alerts
  ironpost alerts --since 7d --severity high
  ironpost alerts --source 203.0.113.0/24 --host web-1
  ironpost alerts show k4x2m7qa
  ironpost alerts --follow --json | jq -r '.title'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := newAlertFilter(severity, rule, source, address)
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
	cmd.Flags().StringVar(&address, "address", "", "only from or to this address or network")
	completeFlag(cmd, "severity", severities...)
	a.completeFlagWith(cmd, "rule", a.ruleIDs)
	cmd.AddCommand(a.alertsShowCommand())
	return cmd
}

type alertFilter struct {
	severity event.Severity
	rule     string       // lower case
	source   netip.Prefix // not valid: any
	address  netip.Prefix // source or target; not valid: any
}

func newAlertFilter(severity, rule, source, address string) (alertFilter, error) {
	f := alertFilter{rule: strings.ToLower(rule)}
	var err error
	if severity != "" {
		if f.severity, err = event.ParseSeverity(strings.ToLower(severity)); err != nil {
			return f, fmt.Errorf("--severity: %w", err)
		}
	}
	for flag, network := range map[string]struct {
		text string
		into *netip.Prefix
	}{"source": {source, &f.source}, "address": {address, &f.address}} {
		if network.text == "" {
			continue
		}
		if *network.into, err = parseNetwork(network.text); err != nil {
			return f, fmt.Errorf("--%s %q is neither an address nor a network such as 203.0.113.0/24", flag, network.text)
		}
	}
	return f, nil
}

// query returns f for PostgreSQL.
func (f alertFilter) query() storage.Query {
	return storage.Query{Severity: f.severity, Rule: f.rule, Source: f.source, Address: f.address}
}

func (f alertFilter) matches(a *event.Alert) bool {
	if a.Severity < f.severity {
		return false
	}
	if f.rule != "" && strings.ToLower(a.Rule.ID) != f.rule && !strings.Contains(strings.ToLower(a.Rule.Title), f.rule) {
		return false
	}
	return (!f.source.IsValid() || within(f.source, a.Source)) &&
		(!f.address.IsValid() || within(f.address, a.Source) || within(f.address, a.Target))
}

func within(network netip.Prefix, e *event.Endpoint) bool {
	if e == nil {
		return false
	}
	if target, err := netip.ParsePrefix(e.IP); err == nil {
		return network.Overlaps(target)
	}
	ip, err := netip.ParseAddr(e.IP)
	return err == nil && network.Contains(ip.Unmap().WithZone(""))
}

func (a *app) alertKind(host string, filter alertFilter) recordKind {
	return recordKind{
		name: "alerts", stored: storage.Alerts, query: filter.query(), record: func() event.Record { return new(event.Alert) }, stream: bus.Alerts, republished: bus.RepublishedAlerts, subject: bus.AlertSubject("*", cmp.Or(host, "*")),
		columns:         []column{{"ID", 8}, {"LAST SEEN", 16}, {"SEVERITY", 8}, {"HOST", 20}, {"SOURCE", 39}, {"COUNT", 9}, {"STATE", 7}, {"TRUST", 9}, {"TITLE", 300}},
		onlyIfDifferent: "HOST",
		series: func(data []byte) string {
			var alert event.Alert
			if decodeRecord(data, &alert) != nil {
				return ""
			}
			return alert.SeriesKey()
		},
		row: func(data []byte) ([]string, error) {
			var alert event.Alert
			if err := decodeRecord(data, &alert); err != nil || !filter.matches(&alert) {
				return nil, err
			}
			return []string{
				event.ShortID(alert.SeriesID()), a.when(alert.LastSeen, a.minute), alert.Severity.String(), alert.Host, sourceText(&alert),
				strconv.Itoa(alert.Count), cmp.Or(alert.State, "-"), cmp.Or(string(alert.Trust), "-"), alert.Title + aboutText(&alert),
			}, nil
		},
	}
}

// aboutText says what the alert is about: the host that the line names, if it is another one, the container and the target.
func aboutText(a *event.Alert) string {
	var about []string
	if a.LogHost != "" && a.LogHost != a.Host {
		about = append(about, "line of "+event.Shorten(a.LogHost, maxAbout))
	}
	if a.Container != nil {
		about = append(about, "container "+event.Shorten(cmp.Or(a.Container.Name, a.Container.ID), maxAbout))
	}
	if a.Target != nil && a.Target.IP != "" {
		to := event.Shorten(a.Target.IP, maxAbout)
		if a.Target.Port != 0 {
			to = net.JoinHostPort(to, strconv.Itoa(int(a.Target.Port)))
		}
		about = append(about, "to "+to)
	}
	if len(about) == 0 {
		return ""
	}
	return " (" + strings.Join(about, ", ") + ")"
}

// maxAbout bounds each name in aboutText.
const maxAbout = 40

// sourceText names the address that an alert is about, or the user if there is none.
func sourceText(a *event.Alert) string {
	if a.Source == nil && a.User != "" {
		return "user:" + a.User
	}
	return ipOrDash(a.Source)
}

func ipOrDash(e *event.Endpoint) string {
	if e == nil {
		return "-"
	}
	return cmp.Or(e.IP, "-")
}
