package policy

import (
	"fmt"
	"github.com/ironpost/ironpost/internal/tomlfile"
	"regexp"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/setting"
)

// Patterns that are valid but match nothing are mistakes: lint refuses them. The guard
// loads them all the same and warns, since no policy at all would be worse.

// The characters that values have, and globs.
var (
	nameForm      = regexp.MustCompile(`^[A-Za-z0-9_.*?-]*$`)
	imageForm     = regexp.MustCompile(`^[A-Za-z0-9_./:@*?-]*$`)
	tagForm       = regexp.MustCompile(`^[a-z0-9_.*?-]*$`)
	techniqueForm = regexp.MustCompile(`^[Tt]\d{4}([.*].*)?$`)
)

// pattern is an element of a policy's list, with its position.
type pattern struct {
	policy   *Policy
	position Position
	key      string
	text     string
}

// checkPatterns adds what cannot match to the mistakes of f; check returns the mistake of a
// pattern, or "".
func (f *policyFile) checkPatterns(s *tomlfile.Section, key string, check func(string) string) {
	list := s.Node.Table[key]
	if list == nil {
		return
	}
	for _, e := range list.List {
		if what := check(e.Text); what != "" {
			f.mistakes.Add(e.Position, s.Path+key, "%s", what)
		}
	}
}

func (f *policyFile) checkMatch(s *tomlfile.Section) {
	f.checkPatterns(s, "rules", ruleMistake)
	f.checkPatterns(s, "tags", tagMistake)
	f.checkPatterns(s, "containers", nameMistake)
	f.checkPatterns(s, "images", imageMistake)
	f.checkPatterns(s, "labels", labelMistake)
}

// checkActions reports actions of one step that another one of it includes.
func (f *policyFile) checkActions(s *tomlfile.Section, actions []Kind) {
	parts := []struct{ whole, part Kind }{
		{Isolate, Pause}, {Isolate, Disconnect}, {Isolate, CutEgress}, {Disconnect, CutEgress}, {Stop, Pause},
	}
	for _, p := range parts {
		if slices.Contains(actions, p.whole) && slices.Contains(actions, p.part) {
			f.mistakes.Add(s.At("actions"), s.Path+"actions", "%s does %s, too: drop %s", p.whole, p.part, p.part)
		}
	}
}

// note keeps the rules and tags of p for CheckRules.
func (f *policyFile) note(s *tomlfile.Section, p *Policy) {
	for _, key := range []string{"rules", "tags"} {
		list := s.Node.Table[key]
		if list == nil {
			continue
		}
		for _, e := range list.List {
			f.patterns = append(f.patterns, pattern{policy: p, position: e.Position, key: s.Path + key, text: e.Text})
		}
	}
}

func ruleMistake(text string) string {
	if strings.HasPrefix(text, "^") || strings.HasSuffix(text, "$") || strings.HasPrefix(text, ".*") || strings.Contains(text, `\`) {
		return regexMistake(text)
	}
	return ""
}

func nameMistake(text string) string {
	if name := strings.TrimLeft(text, "/"); name != text && nameForm.MatchString(name) {
		return fmt.Sprintf("%s matches no container: names have no slash here, write %s", setting.Shown(text), setting.Shown(name))
	}
	return globMistake(text, nameForm, "container")
}

func imageMistake(text string) string { return globMistake(text, imageForm, "image") }

// globMistake reports a glob with characters that no value has.
func globMistake(text string, form *regexp.Regexp, what string) string {
	switch {
	case strings.HasPrefix(text, ".*"), strings.HasPrefix(text, ".?"):
		return regexMistake(text)
	case form.MatchString(text):
		return ""
	case form.MatchString(globOf(text)):
		return regexMistake(text)
	}
	return fmt.Sprintf("%s matches no %s: a pattern is a glob of letters, digits and %s, * is any text, ? one character", setting.Shown(text), what, map[string]string{"container": "_ . -", "image": "_ . - / : @"}[what])
}

// regexMistake says how a regular expression is written as a glob.
func regexMistake(text string) string {
	return fmt.Sprintf("%s is a regular expression, but patterns are globs: * is any text, ? one character; write %s", setting.Shown(text), setting.Shown(globOf(text)))
}

// globOf returns the glob for a simple regular expression.
func globOf(text string) string {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "^"), "$")
	return strings.NewReplacer(`.*`, "*", `.+`, "?*", `\d+`, "*", `\w+`, "*", `[0-9]+`, "*", `[a-z]+`, "*", `\`, "").Replace(text)
}

func tagMistake(text string) string {
	if techniqueForm.MatchString(text) {
		return fmt.Sprintf("%s matches no tag: write %s", setting.Shown(text), setting.Shown("attack."+strings.ToLower(text)))
	}
	if lower := strings.ToLower(text); lower != text && tagForm.MatchString(lower) {
		return fmt.Sprintf("%s matches no tag: tags are lower case, write %s", setting.Shown(text), setting.Shown(lower))
	}
	switch {
	case strings.HasPrefix(text, ".*"), !tagForm.MatchString(text) && tagForm.MatchString(globOf(text)):
		return regexMistake(text)
	case !tagForm.MatchString(text):
		return setting.Shown(text) + " matches no tag: tags have lower case letters, digits, _ - and dots, such as attack.t1190"
	case !strings.ContainsAny(text, ".*"):
		return fmt.Sprintf("%s matches no tag: tags have a namespace, such as attack.%s", setting.Shown(text), text)
	}
	return ""
}

func labelMistake(text string) string {
	key, value, valued := strings.Cut(text, "=")
	want := strings.TrimSpace(key)
	if valued {
		want += "=" + strings.TrimSpace(value)
	}
	if want != text {
		return fmt.Sprintf("%s matches no label: write %s", setting.Shown(text), setting.Shown(want))
	}
	if strings.HasPrefix(value, "^") || strings.HasSuffix(value, "$") || strings.HasPrefix(value, ".*") {
		return regexMistake(value)
	}
	return ""
}

// CheckRules returns a problem for each pattern of an enabled policy that matches none of
// the known rules, or none of their tags.
func (s *Set) CheckRules(known []event.Rule) []Problem {
	var problems tomlfile.Problems
	var ids, tags []string
	for _, r := range known {
		ids, tags = append(ids, r.ID, r.Title), append(tags, r.Tags...)
	}
	for _, p := range s.patterns {
		names, what := ids, "id or title of a rule"
		check := ruleMistake
		if strings.HasSuffix(p.key, "tags") {
			names, what, check = tags, "tag of a rule", tagMistake
		}
		if !p.policy.Enabled || check(p.text) != "" || p.aboutScans() || matchesAny([]string{p.text}, names...) {
			continue
		}
		problems.Add(p.position, p.key, "%s is no %s%s", setting.Shown(p.text), what, nearest(p.text, names))
	}
	return problems.All
}

// CheckVictims returns a problem for each pattern of an enabled policy with actions on containers that matches rules which describe the
// container that logged it as the victim of the attack: the guard does not act on it for that.
func (s *Set) CheckVictims(known []event.Rule) []Problem {
	var problems tomlfile.Problems
	byLogger := func(by AttributionMethod) bool { return by != ByAddress && by != ByTarget }
	for _, p := range s.patterns {
		if !p.policy.Enabled || len(p.policy.ContainerActions()) == 0 || !slices.ContainsFunc(p.policy.AttributeBy, byLogger) {
			continue
		}
		var victims []string
		for _, r := range known {
			names := []string{r.ID, r.Title}
			if strings.HasSuffix(p.key, "tags") {
				names = r.Tags
			}
			if slices.Contains(r.Tags, TagLoggerVictim) && r.Level >= p.policy.Match.Severity && matchesAny([]string{p.text}, names...) {
				victims = append(victims, setting.Shown(r.Title))
			}
		}
		if len(victims) > 0 {
			problems.Add(p.position, p.key, "%s tells of attacks on the container that logs it, not by it, so no container is acted on for that", strings.Join(victims, ", "))
		}
	}
	return problems.All
}

// aboutScans reports whether the pattern may be about alerts of a scan, whose tags are the
// identifiers of vulnerabilities.
func (p pattern) aboutScans() bool {
	return strings.HasPrefix(p.text, "cve.") && strings.HasSuffix(p.key, "tags")
}

// nearest returns ", did you mean …?" with the name that resembles text, or "".
func nearest(text string, names []string) string {
	fold := func(s string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(" _-*?", r) {
				return -1
			}
			return r
		}, strings.ToLower(s))
	}
	i := slices.IndexFunc(names, func(n string) bool {
		return fold(n) == fold(text) || len(text) > 3 && strings.Contains(fold(n), fold(text))
	})
	if i < 0 {
		return " that is loaded"
	}
	return ", did you mean " + setting.Shown(names[i]) + "?"
}
