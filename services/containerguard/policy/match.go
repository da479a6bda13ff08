package policy

import (
	"slices"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/glob"
)

// Match says which alerts and containers a policy is about. One entry of each list must
// match, an empty list matches everything, and all lists must match.
type Match struct {
	Severity        event.Severity // or higher
	Rules           []string       // globs for the rule's id or title
	Tags            []string       // globs for the rule's tags
	Modules         []string       // that raised the alert
	Trust           []event.Trust  // of the alert, lowered to what its module may claim
	Origin          Origin         // of the alert
	Vulnerabilities []string       // globs for the id or aliases of a vulnerability of the alert
	Vulnerability   Vulnerability  // what one vulnerability of the alert must be
	Containers      []string       // globs for the container's name
	Images          []string       // globs for its image
	Labels          []string       // key, or key=glob
}

// Vulnerability says which vulnerabilities a policy is about: those that meet every condition that is set.
type Vulnerability struct {
	Severity event.Severity // or higher; one that no advisory states counts as the scanner's configuration says
	KEV      bool           // known to be exploited (CISA KEV)
	Fixed    bool           // a version without it is known
	Packages []string       // globs for the package URL
}

// Origin says where the alerts of a policy come from: those that meet every condition that is set.
type Origin struct {
	Transports []string // such as file or syslog_udp
	Sources    []string // globs for the file, interface or what was scanned
	Peers      []string // globs for ip:port of the sender
	Units      []string // globs for the systemd unit
}

func (o Origin) set() bool { return len(o.Transports)+len(o.Sources)+len(o.Peers)+len(o.Units) > 0 }

func (o Origin) matches(a *event.Alert) bool {
	got := a.Origin
	if got == nil {
		got = &event.Origin{}
	}
	return matchesAny(o.Transports, got.Transport) && matchesAny(o.Sources, got.Source) && matchesAny(o.Peers, got.Peer) && matchesAny(o.Units, got.Unit)
}

// set reports whether v asks anything.
func (v Vulnerability) set() bool {
	return v.Severity > event.Info || v.KEV || v.Fixed || len(v.Packages) > 0
}

// Container has the properties of a container that a Match compares.
type Container struct {
	Name   string
	Image  string
	Labels map[string]string
}

// AboutContainer reports whether m asks anything of the container.
func (m Match) AboutContainer() bool {
	return len(m.Containers)+len(m.Images)+len(m.Labels) > 0
}

// anyAlert reports whether m asks of alerts nothing but a severity.
func (m Match) anyAlert() bool {
	return len(m.Rules)+len(m.Tags)+len(m.Modules)+len(m.Trust)+len(m.Vulnerabilities) == 0 && !m.Origin.set() && !m.Vulnerability.set() && !m.AboutContainer()
}

// MatchesAlert reports whether m matches a; if not, why says which part does not.
func (m Match) MatchesAlert(a *event.Alert) (ok bool, why string) {
	switch {
	case a.Severity < m.Severity:
		return false, "severity " + a.Severity.String() + " is below " + m.Severity.String()
	case !matchesAny(m.Rules, a.Rule.ID, a.Rule.Title):
		return false, "rule does not match"
	case !matchesAny(m.Tags, a.Rule.Tags...):
		return false, "no tag matches"
	case len(m.Modules) > 0 && !slices.Contains(m.Modules, a.Module):
		return false, "alert is of module " + a.Module
	case len(m.Trust) > 0 && !slices.Contains(m.Trust, a.Trust):
		return false, "trust of the alert is " + string(a.Trust)
	case !m.Origin.matches(a):
		return false, "origin does not match"
	case !m.matchesVulnerability(a):
		return false, "vulnerability does not match"
	}
	return true, ""
}

// matchesVulnerability reports whether one vulnerability of a meets all that m asks of vulnerabilities, or m asks nothing.
func (m Match) matchesVulnerability(a *event.Alert) bool {
	want := m.Vulnerability
	if len(m.Vulnerabilities) == 0 && !want.set() {
		return true
	}
	return slices.ContainsFunc(vulnerabilitiesOf(a), func(f event.Finding) bool {
		return matchesAny(m.Vulnerabilities, append([]string{f.ID}, f.Aliases...)...) && matchesAny(want.Packages, f.PURL) &&
			f.Severity >= want.Severity && (f.KEV || !want.KEV) && (f.Fixed != "" || !want.Fixed)
	})
}

// vulnerabilitiesOf returns the vulnerabilities that a is about. If it is about one, its findings are the packages that have it.
func vulnerabilitiesOf(a *event.Alert) []event.Finding {
	v := a.Vulnerability
	if v == nil {
		return a.Findings
	}
	about := event.Finding{ID: v.ID, Aliases: v.Aliases, Severity: v.Severity, KEV: v.KEV, Fixed: v.Fixed}
	out := []event.Finding{about}
	for _, f := range a.Findings {
		about.PURL = f.PURL
		out = append(out, about)
	}
	return out
}

// MatchesContainer reports whether m matches c; if not, why says which part does not.
func (m Match) MatchesContainer(c Container) (ok bool, why string) {
	label := func(want string) bool {
		key, pattern, valued := strings.Cut(want, "=")
		value, has := c.Labels[key]
		return has && (!valued || glob.Match(pattern, value))
	}
	switch {
	case !matchesAny(m.Containers, c.Name):
		return false, "container name does not match"
	case !matchesAny(m.Images, c.Image):
		return false, "image does not match"
	case len(m.Labels) > 0 && !slices.ContainsFunc(m.Labels, label):
		return false, "no label matches"
	}
	return true, ""
}

// matchesAny reports whether one of patterns matches one of values, or there is no pattern.
func matchesAny(patterns []string, values ...string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
		return slices.ContainsFunc(values, func(v string) bool { return glob.Match(pattern, v) })
	})
}
