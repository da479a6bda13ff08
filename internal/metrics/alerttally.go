package metrics

import (
	"sync"

	"github.com/ironpost/ironpost/event"
)

// The metrics of an AlertTally.
const (
	alertsBySeverity = "alerts_by_severity_total"
	alertsByRule     = "alerts_by_rule_total"
)

// maxTallied bounds the pairs of rule and severity that are told apart; alerts of further ones count for the rule otherRule.
const (
	maxTallied = 1000
	otherRule  = "other"
)

// AlertTally counts the alerts of a module by severity and by rule. The zero value has none. Its methods may be called concurrently.
type AlertTally struct {
	mu         sync.Mutex
	bySeverity map[string]uint64
	byRule     map[ruleAndSeverity]uint64
}

type ruleAndSeverity struct{ rule, severity string }

// Add counts an alert.
func (t *AlertTally) Add(a *event.Alert) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byRule == nil {
		t.bySeverity, t.byRule = map[string]uint64{}, map[ruleAndSeverity]uint64{}
	}
	severity := a.Severity.String()
	t.bySeverity[severity]++
	key := ruleAndSeverity{a.Rule.ID, severity}
	if _, known := t.byRule[key]; !known && len(t.byRule) >= maxTallied {
		key.rule = otherRule
	}
	t.byRule[key]++
}

// Describe adds the metrics of the tally to d.
func (t *AlertTally) Describe(d Described) {
	d[alertsBySeverity] = []string{"Alerts published by severity, without further revisions of series.", "severity"}
	d[alertsByRule] = []string{"Alerts published by the id of their rule, without further revisions of series.", "rule", "severity"}
}

// Send sends the counts, those of all severities, so that a rate can be computed from the first alert.
func (t *AlertTally) Send(to Sink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := event.Info; s <= event.Critical; s++ {
		to.Count(alertsBySeverity, float64(t.bySeverity[s.String()]), s.String())
	}
	for key, n := range t.byRule {
		to.Count(alertsByRule, float64(n), key.rule, key.severity)
	}
}
