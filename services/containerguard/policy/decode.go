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
	maxPriority   = 1_000_000
	maxAlerts     = 10
	minDuration   = time.Second
	maxPerSet     = 1000
	defaultWithin = 5 * time.Minute
	policyHeader  = "policy"
)

// alertModules are those that raise alerts.
var alertModules = []string{bus.LogPipeline, bus.EBPFEngine, bus.SBOMScanner}

// policyFile is what one file holds.
type policyFile struct {
	policies []*Policy
	warnings []Problem
}

func (f *policyFile) warn(at Position, key, what string) {
	f.warnings = append(f.warnings, Problem{Position: at, Key: key, What: what})
}

// decode reads the policies of one document.
func decode(name string, data []byte, found *problemList) policyFile {
	var f policyFile
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

func (f *policyFile) native(root *node, found *problemList) {
	s := &section{node: root, problems: found}
	list := s.get(policyHeader, unstable.Array, "a list of sections [[policy]]")
	s.checkUnknownKeys()
	if list == nil {
		if !s.has(policyHeader) {
			found.add(Problem{Position: root.position, What: "holds no policy, must be [[policy]] with id, match and actions"})
		}
		return
	}
	for _, n := range list.list {
		if n.kind != unstable.InlineTable {
			found.add(Problem{Position: n.position, Key: policyHeader, What: "is " + setting.TOMLKind(n.kind) + ", must be a section [[policy]]"})
			continue
		}
		f.policies = append(f.policies, f.one(&section{path: policyHeader + ".", node: n, problems: found}))
	}
}

func (f *policyFile) one(s *section) *Policy {
	s.require("id", "match", "actions")
	p := &Policy{
		Position:    s.node.position,
		ID:          s.text("id", ""),
		Description: s.text("description", ""),
		Enabled:     s.boolean("enabled", true),
		Priority:    s.number("priority", DefaultPriority, 0, maxPriority),
		DryRun:      s.boolean("dry_run", false),
		Continue:    s.boolean("continue", false),
		TTL:         s.duration("ttl", 0, minDuration),
		BlockTTL:    s.duration("block_ttl", DefaultBlockTTL, minDuration),
		Cooldown:    s.duration("cooldown", DefaultCooldown, 0),
		Actions:     enumList(s, "actions", kinds),
		AttributeBy: enumList(s, "attribute_by", attributionMethods),
	}
	p.Name = s.text("name", p.ID)
	p.Match = decodeMatch(s.table("match"))
	p.Require = decodeRequire(s.table("require"))
	s.checkUnknownKeys()
	if !s.has("attribute_by") {
		p.AttributeBy = DefaultAttribution()
	}
	f.check(s, p)
	return p
}

func decodeMatch(s *section) Match {
	m := Match{
		Severity:        s.severity("severity", event.Info),
		Rules:           s.patterns("rules"),
		Tags:            s.patterns("tags"),
		Modules:         s.list("modules", func(w string) string { return setting.OneOf(w, alertModules...) }),
		Vulnerabilities: s.patterns("vulnerabilities"),
		Containers:      s.patterns("containers"),
		Images:          s.patterns("images"),
		Labels:          s.list("labels", checkLabel),
	}
	s.checkUnknownKeys()
	if len(s.node.keys) == 0 && s.node.table != nil {
		s.problems.add(Problem{Position: s.node.position, Key: s.path[:len(s.path)-1], What: `says nothing, so every alert would match; write severity = "info" if that is meant`})
	}
	return m
}

func decodeRequire(s *section) Require {
	r := Require{
		Alerts:  s.number("alerts", 1, 1, maxAlerts),
		Within:  s.duration("within", defaultWithin, minDuration),
		Modules: s.text("distinct", "rules") == "modules",
	}
	if s.has("distinct") {
		if what := setting.OneOf(s.text("distinct", ""), "rules", "modules"); what != "" {
			s.problem("distinct", "%s", what)
		}
	}
	s.checkUnknownKeys()
	return r
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// check says what is wrong with p as a whole, and warns of what is allowed but odd.
func (f *policyFile) check(s *section, p *Policy) {
	if p.ID != "" && !idForm.MatchString(p.ID) {
		s.problem("id", "%s is no id, must be 1 to 64 letters, digits, '.', '_' or '-'", setting.Shown(p.ID))
	}
	if list := s.node.table["actions"]; list != nil && list.kind == unstable.Array && len(list.list) == 0 {
		s.problem("actions", "must not be empty")
	}
	if p.Does(Kill) && p.Does(Stop) {
		s.problem("actions", "kill and stop exclude each other: stop is pause, then kill")
	}
	on := len(p.ContainerActions()) > 0
	if s.has("ttl") && !on {
		s.problem("ttl", "is for actions on a container, and there is none")
	}
	if s.has("ttl") && (p.Does(Kill) || p.Does(Stop)) {
		s.problem("ttl", "nothing brings a killed container back: drop ttl, or kill and stop")
	}
	if s.has("block_ttl") && !p.Does(BlockSource) {
		s.problem("block_ttl", "is for block-source, which is not among the actions")
	}
	f.oddities(s, p, on)
}

func (f *policyFile) oddities(s *section, p *Policy, on bool) {
	if (p.Does(Kill) || p.Does(Stop)) && p.Require.Alerts < 2 {
		f.warn(s.position("actions"), s.path+"actions", "kills on a single alert, and nothing takes that back; consider isolate, or [policy.require] alerts = 2")
	}
	for _, by := range p.AttributeBy {
		if (by == ByImage || by == ByLabel) && on {
			f.warn(s.position("attribute_by"), s.path+"attribute_by", string(by)+" may be shared by containers the alert is not about; all of them are acted on")
		}
	}
}
