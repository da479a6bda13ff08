package policy

import (
	"slices"
	"strings"

	"github.com/ironpost/ironpost/event"
)

// Match says which alerts and containers a policy is about. Each list is satisfied
// by one of its entries, an empty one by anything; all lists must be satisfied.
type Match struct {
	Severity        event.Severity // at least
	Rules           []string       // globs over the rule's id and title
	Tags            []string       // globs over the rule's tags
	Modules         []string       // of which the alert is
	Vulnerabilities []string       // globs over the advisory's id and aliases
	Containers      []string       // globs over the container's name
	Images          []string       // globs over its image
	Labels          []string       // key, or key=glob
}

// Container is what a match asks about a container.
type Container struct {
	Name   string
	Image  string
	Labels map[string]string
}

// AboutContainer reports whether m asks anything of the container.
func (m Match) AboutContainer() bool {
	return len(m.Containers)+len(m.Images)+len(m.Labels) > 0
}

// MatchesAlert reports whether a satisfies what m asks of an alert; if not, why says what
// stands against it.
func (m Match) MatchesAlert(a *event.Alert) (ok bool, why string) {
	switch {
	case !atLeast(a.Severity, m.Severity):
		return false, "severity " + a.Severity.String() + " is below " + m.Severity.String()
	case !matchesAny(m.Rules, a.Rule.ID, a.Rule.Title):
		return false, "rule does not match"
	case !matchesAny(m.Tags, a.Rule.Tags...):
		return false, "no tag matches"
	case len(m.Modules) > 0 && !slices.Contains(m.Modules, a.Module):
		return false, "alert is of module " + a.Module
	case !m.matchesVulnerability(a.Vulnerability):
		return false, "vulnerability does not match"
	}
	return true, ""
}

func (m Match) matchesVulnerability(v *event.Vulnerability) bool {
	if v == nil {
		return len(m.Vulnerabilities) == 0
	}
	return matchesAny(m.Vulnerabilities, append([]string{v.ID}, v.Aliases...)...)
}

// MatchesContainer reports whether c satisfies what m asks of a container; if not, why
// says what stands against it.
func (m Match) MatchesContainer(c Container) (ok bool, why string) {
	switch {
	case !matchesAny(m.Containers, c.Name):
		return false, "container name does not match"
	case !matchesAny(m.Images, c.Image):
		return false, "image does not match"
	case !m.matchesLabels(c.Labels):
		return false, "no label matches"
	}
	return true, ""
}

func (m Match) matchesLabels(have map[string]string) bool {
	if len(m.Labels) == 0 {
		return true
	}
	return slices.ContainsFunc(m.Labels, func(want string) bool {
		key, pattern, valued := strings.Cut(want, "=")
		value, is := have[key]
		return is && (!valued || Glob(pattern, value))
	})
}
