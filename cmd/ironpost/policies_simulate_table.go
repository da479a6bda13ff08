package main

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// textWidth is how wide sentences below tables are.
const textWidth = 80

func (a *app) printSimulation(r simulationResult, limit int) {
	a.printf("%d alerts, %d policies of %s", r.Alerts, r.Policies, clean(r.PolicyPath))
	if r.Undecoded > 0 {
		a.notef("warning: %d records cannot be decoded as alerts, so the guard would have refused them", r.Undecoded)
	}
	var containers, addresses, notifications, others []containerguard.SimulatedStep
	for _, s := range r.Steps {
		switch acts := s.Outcome == containerguard.SimulatedAct || s.Outcome == containerguard.SimulatedIfConnected; {
		case !acts:
			others = append(others, s)
		case policy.Kind(s.Action) == policy.BlockSource:
			addresses = append(addresses, s)
		case policy.Kind(s.Action) == policy.Notify:
			notifications = append(notifications, s)
		default:
			containers = append(containers, s)
		}
	}
	a.printSteps("Containers that would have been acted on", containers, limit, r.Hosts > 1, containerColumns)
	a.printSteps("Addresses that would have been blocked", addresses, limit, r.Hosts > 1, addressColumns)
	a.printSteps("Notifications that would have been sent", notifications, limit, r.Hosts > 1, notificationColumns)
	a.printSteps("What would not have been done", others, limit, r.Hosts > 1, otherColumns)
	if r.Unmatched > 0 {
		a.printf("\nNo policy applies to %d of the alerts.", r.Unmatched)
	}
	if r.Unlisted > 0 {
		a.printf("\n%d further steps are only counted: simulate a shorter time or --host.", r.Unlisted)
	}
	if r.OtherHosts > 0 {
		a.printf("\n%d alerts of further hosts are not simulated: use --host.", r.OtherHosts)
	}
	a.printf("\nAssumed, as it is not known:")
	for _, text := range r.Assumptions {
		a.printf("- %s", strings.Join(wrap(text, textWidth-2), "\n  "))
	}
}

// simulatedColumn is a column of a table of steps.
type simulatedColumn struct {
	column
	cell func(*app, containerguard.SimulatedStep) string
}

var (
	firstColumn   = simulatedColumn{column{"FIRST", 16}, func(a *app, s containerguard.SimulatedStep) string { return a.minute(s.First) }}
	forColumn     = simulatedColumn{column{"FOR", 10}, func(_ *app, s containerguard.SimulatedStep) string { return howLong(s) }}
	alertsColumn  = simulatedColumn{column{"ALERTS", 8}, func(_ *app, s containerguard.SimulatedStep) string { return strconv.Itoa(s.Alerts) }}
	actionColumn  = simulatedColumn{column{"ACTION", 12}, func(_ *app, s containerguard.SimulatedStep) string { return s.Action }}
	policyColumn  = simulatedColumn{column{"POLICY", 64}, func(_ *app, s containerguard.SimulatedStep) string { return s.Policy }}
	hostColumn    = simulatedColumn{column{"HOST", 20}, func(_ *app, s containerguard.SimulatedStep) string { return s.Host }}
	outcomeColumn = simulatedColumn{column{"OUTCOME", 8}, func(_ *app, s containerguard.SimulatedStep) string { return s.Outcome }}
	whyColumn     = simulatedColumn{column{"WHY", 200}, func(_ *app, s containerguard.SimulatedStep) string { return cmp.Or(s.Reason, "-") }}

	containerColumns    = []simulatedColumn{firstColumn, targetColumn("CONTAINER", 24), actionColumn, forColumn, alertsColumn, policyColumn}
	addressColumns      = []simulatedColumn{firstColumn, targetColumn("ADDRESS", 39), forColumn, ifColumn, policyColumn}
	notificationColumns = []simulatedColumn{firstColumn, alertsColumn, policyColumn}
	otherColumns        = []simulatedColumn{targetColumn("TARGET", 39), actionColumn, outcomeColumn, alertsColumn, {column{"POLICY", 20}, policyColumn.cell}, whyColumn}

	ifColumn = simulatedColumn{column{"IF", 12}, func(_ *app, s containerguard.SimulatedStep) string {
		if s.Outcome == containerguard.SimulatedIfConnected {
			return "if connected"
		}
		return "-"
	}}
)

func targetColumn(name string, most int) simulatedColumn {
	return simulatedColumn{column{name, most}, func(_ *app, s containerguard.SimulatedStep) string {
		_, target, _ := strings.Cut(s.Target, ":")
		target = cmp.Or(target, s.Target)
		if s.Container != nil {
			return cmp.Or(s.Container.Name, target)
		}
		return target
	}}
}

// printSteps prints a table of steps below a title, the first limit of them.
func (a *app) printSteps(title string, steps []containerguard.SimulatedStep, limit int, hosts bool, columns []simulatedColumn) {
	if len(steps) == 0 {
		a.printf("\n%s: none", title)
		return
	}
	a.printf("\n%s:", title)
	if hosts {
		columns = append([]simulatedColumn{hostColumn}, columns...)
	}
	var list rows
	for _, c := range columns {
		list.columns = append(list.columns, c.column)
	}
	shown := steps
	if limit > 0 && len(steps) > limit {
		shown = steps[:limit]
	}
	for _, s := range shown {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = c.cell(a, s)
		}
		list.add(cells...)
	}
	a.printTables(list)
	if more := len(steps) - len(shown); more > 0 {
		a.printf("… and %d more: --limit 0, --json", more)
	}
}

// minute formats t without seconds and zone.
func (a *app) minute(t time.Time) string {
	const layout = "2006-01-02 15:04"
	if a.utc {
		return t.UTC().Format(layout)
	}
	return t.Local().Format(layout)
}

// howLong says for how long in all what a step does is in force.
func howLong(s containerguard.SimulatedStep) string {
	if s.Until.IsZero() {
		return "no end"
	}
	text := (time.Duration(s.Seconds) * time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
