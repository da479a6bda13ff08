package logpipeline

import (
	"fmt"
	"github.com/ironpost/ironpost/internal/tomlfile"
	"maps"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/format"
	"github.com/ironpost/ironpost/sigma"
)

// namedRules bounds how many rules a log entry or a reason names.
const namedRules = 20

// rulesChange is what another rule set changes, by title.
type rulesChange struct{ came, changed, went []string }

// changeOf compares the rules in force with those that take their place.
func changeOf(before, after *ruleSet) rulesChange {
	var c rulesChange
	for _, title := range slices.Sorted(maps.Keys(after.digests)) {
		switch digest, known := before.digests[title]; {
		case !known:
			c.came = append(c.came, title)
		case digest != after.digests[title]:
			c.changed = append(c.changed, title)
		}
	}
	for _, title := range slices.Sorted(maps.Keys(before.digests)) {
		if _, stays := after.digests[title]; !stays {
			c.went = append(c.went, title)
		}
	}
	return c
}

// fields returns the change for a log entry.
func (c rulesChange) fields() map[string]any {
	out := map[string]any{}
	for name, titles := range map[string][]string{"rules_came": c.came, "rules_changed": c.changed, "rules_went": c.went} {
		if len(titles) > 0 {
			out[name] = shownTitles(titles)
		}
	}
	return out
}

// shownTitles returns titles in one line, namedRules at most.
func shownTitles(titles []string) string {
	more := ""
	if n := len(titles) - namedRules; n > 0 {
		titles, more = titles[:namedRules], fmt.Sprintf(" and %d more", n)
	}
	shown := make([]string, len(titles))
	for i, t := range titles {
		shown[i] = event.Printable(t, maxKey)
	}
	return strings.Join(shown, ", ") + more
}

// titlesOf returns the titles of the rules in files.
func titlesOf(files []ruleFile) map[string]bool {
	out := map[string]bool{}
	for _, f := range files {
		for _, d := range f.docs {
			out[metaOf(d).Title] = true
		}
	}
	return out
}

// The products and categories of the log sources that the parsers recognise, see package parse and package packet; those of
// formats in TOML come with them.
var (
	knownProducts   = []string{"", "linux", "apache", "ironpost", "nginx", "haproxy", "lighttpd", "php", "squid", "envoy", "aws", "fortigate", "paloalto", "cisco", "pfsense", "suricata", "zeek", "falco"}
	knownCategories = []string{"", "webserver", "application", "network", "proxy", "firewall", "dns", "process_creation", "file_event", "file_delete", "network_connection"}
)

// remarks names the rules of one's own that can match lines of unknown format only, such as those for Windows.
func (r *ruleSet) remarks(formats *format.Set) []string {
	var titles []string
	for _, rule := range r.Rules() {
		if r.own[rule.Title] && !produced(rule.Logsource, formats) {
			titles = append(titles, rule.Title)
		}
	}
	if len(titles) == 0 {
		return nil
	}
	slices.Sort(titles)
	return []string{fmt.Sprintf("%d rules are for log sources that nothing here produces, they can hardly match: %s", len(titles), shownTitles(titles))}
}

// produced reports whether a parser or a format gives events of l.
func produced(l sigma.Logsource, formats *format.Set) bool {
	for _, f := range formats.All() {
		if !f.Logsource.Conflicts(l) {
			return true
		}
	}
	return slices.Contains(knownProducts, l.Product) && slices.Contains(knownCategories, l.Category)
}

// CheckFiles returns what is wrong with the rules and formats of c: an error for each file of rules, and a tomlfile.Problem for each mistake in
// a format; none if they would all be used.
func CheckFiles(c Config) (problems []error) {
	rules, err := loadRules(c)
	if err != nil {
		problems = append(problems, err)
	} else {
		problems = append(problems, rules.problems...)
	}
	formats, err := loadFormats(c)
	if err != nil {
		return append(problems, err)
	}
	for _, p := range tomlfile.SortByPosition(formats.problems.All) {
		problems = append(problems, p)
	}
	return problems
}
