package logpipeline

import "github.com/ironpost/ironpost/sigma"

// RuleNames returns the ids, titles and tags of the rules at location, the shipped ones if it
// is empty, as alerts have them. Files that cannot be read as rules count for none.
func RuleNames(location string) (rules, tags []string, err error) {
	set, err := loadRules(location)
	if err != nil {
		return nil, nil, err
	}
	add := func(m *sigma.Meta) {
		rules, tags = append(rules, m.Key(), m.Title), append(tags, m.Tags...)
	}
	for _, r := range set.Rules() {
		add(&r.Meta)
	}
	for _, c := range set.Correlations() {
		add(&c.Meta)
	}
	return rules, tags, nil
}
