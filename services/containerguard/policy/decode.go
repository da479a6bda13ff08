package policy

import (
	"regexp"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/setting"
)

// The bounds of a file.
const (
	maxPriority  = 1_000_000
	maxAlerts    = 10
	minSpan      = time.Second
	maxPerSet    = 1000
	defaultSpan  = 5 * time.Minute
	policyHeader = "policy"
)

// modules are those that raise alerts.
var modules = []string{bus.LogPipeline, bus.EBPFEngine, bus.SBOMScanner}

// file is what one file holds.
type file struct {
	policies []*Policy
	warnings []Problem
}

func (f *file) warn(at Place, key, what string) {
	f.warnings = append(f.warnings, Problem{Place: at, Key: key, What: what})
}

// decode reads the policies of one document.
func decode(name string, data []byte, found *problems) file {
	var f file
	root, bad := parse(name, data)
	switch {
	case bad != nil:
		found.add(*bad)
	case isUpstream(root):
		f.upstream(root, found)
	default:
		f.native(root, found)
	}
	return f
}

func (f *file) native(root *node, found *problems) {
	s := &section{node: root, found: found}
	list := s.get(policyHeader, unstable.Array, "a list of sections [[policy]]")
	s.end()
	if list == nil {
		if !s.has(policyHeader) {
			found.add(Problem{Place: root.at, What: "holds no policy, must be [[policy]] with id, match and actions"})
		}
		return
	}
	for _, n := range list.list {
		if n.kind != unstable.InlineTable {
			found.add(Problem{Place: n.at, Key: policyHeader, What: "is " + setting.TOMLKind(n.kind) + ", must be a section [[policy]]"})
			continue
		}
		f.policies = append(f.policies, f.one(&section{path: policyHeader + ".", node: n, found: found}))
	}
}

func (f *file) one(s *section) *Policy {
	s.require("id", "match", "actions")
	p := &Policy{
		Place:       s.node.at,
		ID:          s.text("id", ""),
		Description: s.text("description", ""),
		Enabled:     s.truth("enabled", true),
		Priority:    s.number("priority", DefaultPriority, 0, maxPriority),
		DryRun:      s.truth("dry_run", false),
		Continue:    s.truth("continue", false),
		TTL:         s.span("ttl", 0, minSpan),
		BlockTTL:    s.span("block_ttl", DefaultBlockTTL, minSpan),
		Cooldown:    s.span("cooldown", DefaultCooldown, 0),
		Actions:     words(s, "actions", kinds),
		AttributeBy: words(s, "attribute_by", evidences),
	}
	p.Name = s.text("name", p.ID)
	p.Match = matchOf(s.table("match"))
	p.Require = requireOf(s.table("require"))
	s.end()
	if !s.has("attribute_by") {
		p.AttributeBy = DefaultEvidence()
	}
	f.check(s, p)
	return p
}

func matchOf(s *section) Match {
	m := Match{
		Severity:        s.severity("severity", event.Info),
		Rules:           s.patterns("rules"),
		Tags:            s.patterns("tags"),
		Modules:         s.list("modules", func(w string) string { return setting.OneOf(w, modules...) }),
		Vulnerabilities: s.patterns("vulnerabilities"),
		Containers:      s.patterns("containers"),
		Images:          s.patterns("images"),
		Labels:          s.list("labels", checkLabel),
	}
	s.end()
	if len(s.node.keys) == 0 && s.node.table != nil {
		s.found.add(Problem{Place: s.node.at, Key: s.path[:len(s.path)-1], What: `says nothing, so every alert would match; write severity = "info" if that is meant`})
	}
	return m
}

func requireOf(s *section) Require {
	r := Require{
		Alerts:  s.number("alerts", 1, 1, maxAlerts),
		Within:  s.span("within", defaultSpan, minSpan),
		Modules: s.text("distinct", "rules") == "modules",
	}
	if s.has("distinct") {
		if what := setting.OneOf(s.text("distinct", ""), "rules", "modules"); what != "" {
			s.blame("distinct", "%s", what)
		}
	}
	s.end()
	return r
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// check says what is wrong with p as a whole, and warns of what is allowed but odd.
func (f *file) check(s *section, p *Policy) {
	if p.ID != "" && !idForm.MatchString(p.ID) {
		s.blame("id", "%s is no id, must be 1 to 64 letters, digits, '.', '_' or '-'", setting.Shown(p.ID))
	}
	if list := s.node.table["actions"]; list != nil && list.kind == unstable.Array && len(list.list) == 0 {
		s.blame("actions", "must not be empty")
	}
	if p.Does(Kill) && p.Does(Stop) {
		s.blame("actions", "kill and stop exclude each other: stop is pause, then kill")
	}
	on := len(p.ContainerActions()) > 0
	if s.has("ttl") && !on {
		s.blame("ttl", "is for actions on a container, and there is none")
	}
	if s.has("ttl") && (p.Does(Kill) || p.Does(Stop)) {
		s.blame("ttl", "nothing brings a killed container back: drop ttl, or kill and stop")
	}
	if s.has("block_ttl") && !p.Does(BlockSource) {
		s.blame("block_ttl", "is for block-source, which is not among the actions")
	}
	f.oddities(s, p, on)
}

func (f *file) oddities(s *section, p *Policy, on bool) {
	if (p.Does(Kill) || p.Does(Stop)) && p.Require.Alerts < 2 {
		f.warn(s.at("actions"), s.path+"actions", "kills on a single alert, and nothing takes that back; consider isolate, or [policy.require] alerts = 2")
	}
	for _, by := range p.AttributeBy {
		if (by == ByImage || by == ByLabel) && on {
			f.warn(s.at("attribute_by"), s.path+"attribute_by", string(by)+" may be shared by containers the alert is not about; all of them are acted on")
		}
	}
}
