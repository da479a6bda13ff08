package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
)

func (a *app) alertsShowCommand() *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use:   "show <id>",
		Short: "show everything about an alert",
		Long: `Shows an alert and the revisions of its series: where its evidence is from and
how far that is proven, the counts, who and what was seen, why the rule matched,
the evidence, and the actions taken for it. What comes from the attacker is
escaped. <id> is any beginning of the short id in the list of alerts, or of
the full one, that names one series. With --json, its alerts and actions are
printed as they are stored.`,
		Example: `  ironpost alerts show k4x2m7qa
  ironpost alerts show k4x2 --json | jq '.alerts[-1].members'`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.alertsShow(cmd.Context(), args[0], host) },
	}
	hostFlag(cmd, &host)
	cmd.ValidArgsFunction = a.complete(a.alertIDs)
	return cmd
}

// shownAlert is the JSON of alerts show.
type shownAlert struct {
	ID      string         `json:"id"`
	ShortID string         `json:"short_id"`
	Alerts  alertSeries    `json:"alerts"`
	Actions []event.Action `json:"actions"`
	Next    []string       `json:"next"`
}

func (a *app) alertsShow(ctx context.Context, text, host string) error {
	series, err := a.findSeries(ctx, text, host)
	if err != nil {
		return err
	}
	id := series.newest().SeriesID()
	out := shownAlert{ID: id, ShortID: event.ShortID(id), Alerts: series, Actions: []event.Action{}}
	if out.Actions, err = a.actionsFor(ctx, series.ids()); err != nil {
		return err
	}
	out.Next = nextCommands(series.newest(), out.Actions)
	if a.json {
		return a.printJSON(out)
	}
	a.printShown(out)
	return a.out.err
}

// actionsFor returns the actions about alerts, the oldest first.
func (a *app) actionsFor(ctx context.Context, ids []string) ([]event.Action, error) {
	var found []event.Action
	add := func(data []byte) {
		var action event.Action
		if decodeRecord(data, &action) == nil && slices.Contains(ids, action.AlertID) {
			found = append(found, action)
		}
	}
	err := a.readRecords(ctx, "actions", func(url string) (bool, error) {
		found = []event.Action{}
		return false, readAll(ctx, url, storage.Actions, storage.Query{AlertIDs: ids}, add)
	}, func(ctx context.Context, conn *bus.Conn) error {
		found = []event.Action{}
		return conn.History(ctx, bus.Actions, bus.HistoryOptions{Filter: bus.ActionSubject("*", "*")}, func(d bus.Delivery) bool {
			add(d.Data)
			return true
		})
	})
	return found, err
}

func (a *app) printShown(s shownAlert) {
	n := s.Alerts.newest()
	a.printf("%s  %s  %s", clean(s.ShortID), a.paint.word(n.Severity.String()), clean(n.Title))
	if n.Description != "" {
		a.printWrapped("", n.Description)
	}
	a.printf("")
	for _, line := range a.describeAlert(s) {
		a.printWrapped(fmt.Sprintf("%-*s", shownIndent, line[0]), line[1])
	}
	withMatched := *n
	for i := range s.Alerts {
		if len(s.Alerts[i].Matched) > 0 {
			withMatched = s.Alerts[i] // a revision does not repeat what revision 0, or the escalated one, says
		}
	}
	matched := rows{columns: []column{{"MATCHED", 24}, {"VALUE", 40}, {"BECAUSE", 120}}}
	for _, m := range withMatched.Matched {
		matched.add(m.Field, m.Value, m.Why)
	}
	revisions := rows{columns: []column{{"REVISION", 8}, {"TIME", 16}, {"STATE", 9}, {"COUNT", 9}, {"TRUST", 9}, {"", 20}}}
	for i := range s.Alerts {
		r := &s.Alerts[i]
		note := ""
		if r.Escalated {
			note = "escalated"
		}
		revisions.add(strconv.Itoa(r.Revision), a.minute(r.Time), cmp.Or(r.State, "-"), strconv.Itoa(r.Count), cmp.Or(string(r.Trust), "-"), note)
	}
	actions := rows{columns: []column{{"ACTION", 14}, {"TIME", 16}, {"PHASE", 8}, {"POLICY", 16}, {"TARGET AND REASON", 160}}}
	for _, act := range s.Actions {
		why := cmp.Or(act.Error, act.Reason)
		if act.DryRun {
			why = "dry run: " + why
		}
		actions.add(act.Kind, a.minute(act.Time), string(act.Phase), cmp.Or(act.Policy, "-"), strings.TrimSuffix(act.Target+": "+why, ": "))
	}
	if len(s.Alerts) > 1 || len(matched.cells)+len(actions.cells) > 0 {
		a.printf("")
	}
	if len(s.Alerts) == 1 {
		revisions.cells = nil
	}
	a.printTables(matched, revisions, actions)
	a.printEvidence(s.Alerts)
	if len(s.Actions) == 0 {
		a.printf("\nNo action was taken for it.")
	}
	a.printf("\nNext:")
	for _, command := range s.Next {
		a.printf("  %s", clean(command))
	}
}

// printEvidence prints the evidence of revision 0, of escalated revisions and of the newest one.
func (a *app) printEvidence(s alertSeries) {
	for i := range s {
		r := &s[i]
		if len(r.Evidence) == 0 || r.Revision > 0 && !r.Escalated && i < len(s)-1 {
			continue
		}
		a.printf("\nEvidence, revision %d:", r.Revision)
		for _, line := range r.Evidence {
			a.printWrapped("  ", line)
		}
	}
}

// printWrapped prints text, cleaned, after begin, and wraps it below itself on a terminal.
func (a *app) printWrapped(begin, text string) {
	lines := []string{clean(text)}
	if screen := terminalWidth(a.out.w); screen > 0 {
		lines = wrap(lines[0], max(minWrap, screen-len(begin)))
	}
	a.printf("%s%s", begin, strings.Join(lines, "\n"+strings.Repeat(" ", len(begin))))
}

// shownIndent is where values begin.
const shownIndent = 12

// describeAlert returns the lines about a series, each with a name and a value.
func (a *app) describeAlert(s shownAlert) (lines [][2]string) {
	n := s.Alerts.newest()
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, [2]string{name, value})
		}
	}
	add("id", s.ID)
	add("state", n.State)
	count := strconv.Itoa(n.Count)
	if n.Peak > 0 {
		count += fmt.Sprintf(", at most %d a second", n.Peak)
	}
	add("count", count)
	add("seen", a.time(n.FirstSeen)+" to "+a.time(n.LastSeen))
	add("rule", n.Rule.Title+" ("+n.Rule.ID+")")
	add("tags", strings.Join(n.Rule.Tags, ", "))
	if n.Source != nil {
		add("source", endpointText(n.Source))
	}
	if n.Target != nil {
		add("target", endpointText(n.Target))
	}
	add("user", n.User)
	if c := n.Container; c != nil {
		add("container", strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Name, shortID(c.ID), c.Image)))
	}
	add("service", n.Service)
	add("host", n.Host)
	add("log host", n.LogHost)
	add("trust", string(n.Trust))
	if n.Origin != nil {
		add("origin", originText(n.Origin))
	}
	add("module", n.Module)
	add("members", strings.Join(n.Members, ", "))
	var ports, totals []string
	for _, p := range n.Ports {
		ports = append(ports, strconv.Itoa(int(p)))
	}
	for _, name := range slices.Sorted(maps.Keys(n.Totals)) {
		totals = append(totals, fmt.Sprintf("%s %d", name, n.Totals[name]))
	}
	add("ports", strings.Join(ports, ", "))
	add("totals", strings.Join(totals, ", "))
	if v := n.Vulnerability; v != nil {
		add("finding", strings.TrimSpace(v.ID+" "+v.Summary))
	}
	for _, lost := range n.Incomplete {
		add("incomplete", fmt.Sprintf("%s: %d", lost.Counter, lost.Amount))
	}
	return lines
}

func endpointText(e *event.Endpoint) string {
	if e.Port == 0 {
		return e.IP
	}
	return e.IP + " port " + strconv.Itoa(int(e.Port))
}

func originText(o *event.Origin) string {
	parts := []string{o.Transport}
	for _, p := range [][2]string{{"from", o.Peer}, {"of", o.Source}, {"unit", o.Unit}, {"program", o.Exe}, {"container", o.Container}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	if o.UID != nil {
		parts = append(parts, fmt.Sprintf("uid %d", *o.UID))
	}
	return strings.Join(parts, ", ")
}

// safeWords matches what is one command, whoever wrote it, when it is pasted into a shell.
var safeWords = regexp.MustCompile(`^[A-Za-z0-9_.:/ -]+$`)

// nextCommands returns commands that tell more, or undo what was done.
func nextCommands(n *event.Alert, actions []event.Action) (out []string) {
	add := func(command string) {
		if safeWords.MatchString(command) && !slices.Contains(out, command) {
			out = append(out, command)
		}
	}
	if n.Source != nil {
		add("ironpost alerts --source " + n.Source.IP)
		add("ironpost blocklist check " + n.Source.IP)
	}
	for _, act := range actions {
		if act.Phase != event.Done {
			continue
		}
		if act.Container != nil {
			add("ironpost evidence show " + shortID(act.Container.ID))
		}
		if strings.HasPrefix(act.Undo, "ironpost ") {
			add(act.Undo)
		}
	}
	add("ironpost alerts --since 7d --rule " + n.Rule.ID)
	return out
}
