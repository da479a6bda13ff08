package policy

import (
	"regexp"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/setting"
)

const (
	policyHeader   = "policy"
	maxPriority    = 1_000_000
	maxAlerts      = 10
	minDuration    = time.Second
	defaultWithin  = 5 * time.Minute
	maxSignsWithin = time.Hour
)

// alertModules raise alerts.
var alertModules = []string{bus.LogPipeline, bus.EBPFEngine, bus.SBOMScanner}

// policyFile is the content of one file.
type policyFile struct {
	policies []*Policy
	warnings problemList
	mistakes problemList // what cannot match
	patterns []pattern
}

// decode reads the policies of one document and adds its mistakes to problems.
func decode(name string, data []byte, problems *problemList) policyFile {
	var f policyFile
	root, ok := parse(name, data, problems)
	isUpstream := func(key string) bool { return root.table[key] != nil && root.table[policyHeader] == nil }
	switch {
	case !ok:
	case slices.ContainsFunc([]string{"severity_threshold", "target_filter", "action"}, isUpstream):
		f.decodeUpstream(&section{node: root, problems: problems})
	default:
		f.decodeNative(&section{node: root, problems: problems})
	}
	return f
}

func (f *policyFile) decodeNative(s *section) {
	list := s.get(policyHeader, unstable.Array, "a list of sections [[policy]]")
	s.checkUnknownKeys()
	if !s.has(policyHeader) {
		s.problems.add(s.node.position, "", "holds no policy, must be [[policy]] with id, match and actions")
	}
	if list == nil {
		return
	}
	for _, n := range list.list {
		if n.kind != unstable.InlineTable {
			s.problems.add(n.position, policyHeader, "is %s, must be a section [[policy]]", setting.TOMLKind(n.kind))
			continue
		}
		f.policies = append(f.policies, f.decodePolicy(&section{path: policyHeader + ".", node: n, problems: s.problems}))
	}
}

func (f *policyFile) decodePolicy(s *section) *Policy {
	s.require("id", "match")
	p := &Policy{
		Position:    s.node.position,
		ID:          s.id(),
		Description: s.text("description", ""),
		Enabled:     s.boolean("enabled", true),
		Priority:    s.number("priority", DefaultPriority, 0, maxPriority),
		DryRun:      s.boolean("dry_run", false),
		Continue:    s.boolean("continue", false),
		TTL:         s.duration("ttl", 0, minDuration),
		BlockTTL:    s.duration("block_ttl", DefaultBlockTTL, minDuration),
		BlockRate:   s.number("block_rate", 0, 0, bus.MaxBlockRate),
		Widen:       s.boolean("widen", true),
		Cooldown:    s.duration("cooldown", DefaultCooldown, 0),
		AttributeBy: enumList(s, "attribute_by", attributionMethods),
	}
	p.Name = s.text("name", p.ID)
	f.decodeSteps(s, p)
	match := s.table("match")
	p.Match = decodeMatch(match)
	p.Require = decodeRequire(s.table("require"))
	s.checkUnknownKeys()
	if !s.has("attribute_by") {
		p.AttributeBy = DefaultAttribution()
	}
	checkContradictions(s, p)
	f.checkMatch(match)
	f.checkStepTimes(s, p)
	f.note(match, p)
	f.warn(s, p)
	return p
}

func decodeMatch(s *section) Match {
	m := Match{
		Severity:        s.severity("severity", event.Info),
		Rules:           s.list("rules", checkPattern),
		Tags:            s.list("tags", checkPattern),
		Modules:         s.list("modules", func(w string) string { return setting.OneOf(w, alertModules...) }),
		Trust:           enumList(s, "trust", event.Trusts()),
		Origin:          decodeOrigin(s.table("origin")),
		Vulnerabilities: s.list("vulnerabilities", checkPattern),
		Containers:      s.list("containers", checkPattern),
		Images:          s.list("images", checkPattern),
		Labels:          s.list("labels", checkLabel),
		Vulnerability:   decodeVulnerability(s.table("vulnerability")),
	}
	s.checkUnknownKeys()
	if len(s.node.keys) == 0 && s.node.table != nil {
		s.problems.add(s.node.position, s.path[:len(s.path)-1], `is empty, so every alert would match; write severity = "info" if that is intended`)
	}
	return m
}

func decodeOrigin(s *section) Origin {
	o := Origin{
		Transports: s.list("transports", checkPattern),
		Sources:    s.list("sources", checkPattern),
		Peers:      s.list("peers", checkPattern),
		Units:      s.list("units", checkPattern),
	}
	s.checkUnknownKeys()
	return o
}

func decodeVulnerability(s *section) Vulnerability {
	v := Vulnerability{
		Severity: s.severity("severity", event.Info),
		KEV:      s.boolean("kev", false),
		Fixed:    s.boolean("fixed", false),
		Packages: s.list("packages", checkPattern),
	}
	s.checkUnknownKeys()
	return v
}

func decodeRequire(s *section) Require {
	r := Require{
		Alerts:      s.number("alerts", 1, 1, maxAlerts),
		Within:      s.duration("within", defaultWithin, minDuration),
		Modules:     s.text("distinct", "rules") == "modules",
		NoProof:     !s.boolean("proof", true),
		Signs:       s.number("signs", DefaultSigns, 1, DefaultSigns),
		SignsWithin: s.duration("signs_within", DefaultSignsWithin, minDuration),
	}
	if r.SignsWithin > maxSignsWithin {
		s.problem("signs_within", "must be %s at most: signs are forgotten then", maxSignsWithin)
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

func (s *section) id() string {
	id := s.text("id", "")
	if id != "" && !idForm.MatchString(id) {
		s.problem("id", "%s is not an id, must be 1 to 64 letters, digits, '.', '_' or '-'", setting.Shown(id))
	}
	return id
}

// checkContradictions reports keys and actions of p that exclude each other.
func checkContradictions(s *section, p *Policy) {
	kills := p.Does(Kill) || p.Does(Stop)
	if list := s.node.table["actions"]; list != nil && list.kind == unstable.Array && len(list.list) == 0 {
		s.problem("actions", "must not be empty")
	}
	if p.Does(Kill) && p.Does(Stop) {
		s.problem("actions", "kill and stop exclude each other: stop is pause, then kill")
	}
	if s.has("ttl") && len(p.ContainerActions()) == 0 {
		s.problem("ttl", "is for actions on a container, and there is none")
	}
	if s.has("ttl") && kills {
		s.problem("ttl", "nothing brings a killed container back: drop ttl, or kill and stop")
	}
	for _, key := range []string{"block_ttl", "block_rate"} {
		if !s.has(key) || p.Does(BlockSource) {
			continue
		}
		s.problem(key, "is for block-source, which is not among the actions")
	}
}

// warn warns of settings that are allowed but may not be intended.
func (f *policyFile) warn(s *section, p *Policy) {
	onOne := func(k Kind) bool { return k.StopsService() && p.SignsFor(k) < DefaultSigns }
	one := slices.ContainsFunc(p.Actions, onOne) || p.Require.NoProof
	kills := slices.ContainsFunc(p.Actions, func(k Kind) bool { return (k == Kill || k == Stop) && (onOne(k) || p.Require.NoProof) })
	if kills && p.Require.Alerts < 2 {
		f.warnings.add(s.position("actions"), s.path+"actions", "kills on a single alert, and nothing takes that back; consider isolate, or [policy.require] alerts = 2")
	}
	stops := slices.ContainsFunc(p.Actions, Kind.StopsService)
	if slices.ContainsFunc(p.Actions, onOne) && p.Require.Alerts < 2 {
		f.warnings.add(s.position("require"), s.path+"require.signs", "acts on a single sign about a container, which may be a request that anyone can make; consider signs = 2")
	}
	ofScans := len(p.Match.Vulnerabilities) > 0 || p.Match.Vulnerability.set() || slices.Equal(p.Match.Modules, []string{bus.SBOMScanner})
	if stops && ofScans && !one {
		f.warnings.add(s.position("actions"), s.path+"actions", "a vulnerability is no sign of an attack, so the steps on containers wait for two other signs; write [policy.require] signs = 1 if a scan is enough")
	}
	anyone := len(p.Match.Trust) == 0 || slices.Contains(p.Match.Trust, event.TrustUnproven)
	if p.Require.NoProof && anyone && (len(p.ContainerActions()) > 0 || p.Does(BlockSource)) {
		f.warnings.add(s.position("require"), s.path+"require.proof", "acts on alerts that anyone who can write a log line or send a syslog message may cause; consider [policy.match] trust")
	}
	for _, by := range p.AttributeBy {
		if (by == ByImage || by == ByLabel) && len(p.ContainerActions()) > 0 {
			f.warnings.add(s.position("attribute_by"), s.path+"attribute_by", "%s may be shared by containers the alert is not about; all of them are acted on", by)
		}
	}
}
