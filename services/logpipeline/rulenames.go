package logpipeline

import (
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/sigma"
)

// Rules returns the rules of c as alerts name them. Files that cannot be read as rules count for none.
func Rules(c Config) ([]event.Rule, error) {
	set, err := loadRules(c)
	if err != nil {
		return nil, err
	}
	var out []event.Rule
	for _, r := range set.Rules() {
		out = append(out, ruleOf(&r.Meta))
	}
	for _, c := range set.Correlations() {
		out = append(out, ruleOf(&c.Meta))
	}
	return out, nil
}

// ruleOf returns a rule as alerts name it.
func ruleOf(m *sigma.Meta) event.Rule {
	severity := event.Medium
	if m.Level != "" {
		severity, _ = event.ParseSeverity(m.Level) // sigma.Parse admits only levels that it reads
	}
	return event.Rule{ID: m.Key(), Title: m.Title, Level: severity, Tags: m.Tags}
}
