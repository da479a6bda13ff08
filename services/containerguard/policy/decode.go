package policy

import (
	"github.com/ironpost/ironpost/internal/tomlfile"
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
	warnings tomlfile.Problems
	mistakes tomlfile.Problems // what cannot match
	patterns []pattern
}

// decode reads the policies of one document and adds its mistakes to problems.
func decode(name string, data []byte, problems *tomlfile.Problems) policyFile {
	var f policyFile
	root, ok := tomlfile.Parse(name, data, problems)
	isUpstream := func(key string) bool { return root.Node.Table[key] != nil && root.Node.Table[policyHeader] == nil }
	switch {
	case !ok:
	case slices.ContainsFunc([]string{"severity_threshold", "target_filter", "action"}, isUpstream):
		f.decodeUpstream(root)
	default:
		f.decodeNative(root)
	}
	return f
}

func (f *policyFile) decodeNative(s *tomlfile.Section) {
	list := s.Get(policyHeader, unstable.Array, "a list of sections [[policy]]")
	s.CheckUnknownKeys()
	if !s.Has(policyHeader) {
		s.Problems.Add(s.Node.Position, "", "holds no policy, must be [[policy]] with id, match and actions")
	}
	if list == nil {
		return
	}
	for _, n := range list.List {
		if n.Kind != unstable.InlineTable {
			s.Problems.Add(n.Position, policyHeader, "is %s, must be a section [[policy]]", setting.TOMLKind(n.Kind))
			continue
		}
		f.policies = append(f.policies, f.decodePolicy(&tomlfile.Section{Path: policyHeader + ".", Node: n, Problems: s.Problems}))
	}
}

func (f *policyFile) decodePolicy(s *tomlfile.Section) *Policy {
	s.Require("id", "match")
	p := &Policy{
		Position:    s.Node.Position,
		ID:          idOf(s),
		Description: s.Text("description", ""),
		Enabled:     s.Bool("enabled", true),
		Priority:    s.Number("priority", DefaultPriority, 0, maxPriority),
		DryRun:      s.Bool("dry_run", false),
		Continue:    s.Bool("continue", false),
		TTL:         s.Duration("ttl", 0, minDuration),
		BlockTTL:    s.Duration("block_ttl", DefaultBlockTTL, minDuration),
		BlockRate:   s.Number("block_rate", 0, 0, bus.MaxBlockRate),
		Widen:       s.Bool("widen", true),
		Cooldown:    s.Duration("cooldown", DefaultCooldown, 0),
		AttributeBy: enumList(s, "attribute_by", attributionMethods),
	}
	p.Name = s.Text("name", p.ID)
	f.decodeSteps(s, p)
	match := s.Table("match")
	p.Match = decodeMatch(match)
	p.Require = decodeRequire(s.Table("require"))
	s.CheckUnknownKeys()
	if !s.Has("attribute_by") {
		p.AttributeBy = DefaultAttribution()
	}
	checkContradictions(s, p)
	f.checkMatch(match)
	f.checkStepTimes(s, p)
	f.note(match, p)
	f.warn(s, p)
	return p
}

func decodeMatch(s *tomlfile.Section) Match {
	m := Match{
		Severity:        severityOf(s, "severity", event.Info),
		Rules:           s.List("rules", checkPattern),
		Tags:            s.List("tags", checkPattern),
		Modules:         s.List("modules", func(w string) string { return setting.OneOf(w, alertModules...) }),
		Trust:           enumList(s, "trust", event.Trusts()),
		Origin:          decodeOrigin(s.Table("origin")),
		Vulnerabilities: s.List("vulnerabilities", checkPattern),
		Containers:      s.List("containers", checkPattern),
		Images:          s.List("images", checkPattern),
		Labels:          s.List("labels", checkLabel),
		Vulnerability:   decodeVulnerability(s.Table("vulnerability")),
	}
	s.CheckUnknownKeys()
	if len(s.Node.Keys) == 0 && s.Node.Table != nil {
		s.Problems.Add(s.Node.Position, s.Path[:len(s.Path)-1], `is empty, so every alert would match; write severity = "info" if that is intended`)
	}
	return m
}

func decodeOrigin(s *tomlfile.Section) Origin {
	o := Origin{
		Transports: s.List("transports", checkPattern),
		Sources:    s.List("sources", checkPattern),
		Peers:      s.List("peers", checkPattern),
		Units:      s.List("units", checkPattern),
	}
	s.CheckUnknownKeys()
	return o
}

func decodeVulnerability(s *tomlfile.Section) Vulnerability {
	v := Vulnerability{
		Severity: severityOf(s, "severity", event.Info),
		KEV:      s.Bool("kev", false),
		Fixed:    s.Bool("fixed", false),
		Packages: s.List("packages", checkPattern),
	}
	s.CheckUnknownKeys()
	return v
}

func decodeRequire(s *tomlfile.Section) Require {
	r := Require{
		Alerts:      s.Number("alerts", 1, 1, maxAlerts),
		Within:      s.Duration("within", defaultWithin, minDuration),
		Modules:     s.Text("distinct", "rules") == "modules",
		NoProof:     !s.Bool("proof", true),
		Signs:       s.Number("signs", DefaultSigns, 1, DefaultSigns),
		SignsWithin: s.Duration("signs_within", DefaultSignsWithin, minDuration),
	}
	if r.SignsWithin > maxSignsWithin {
		s.Problem("signs_within", "must be %s at most: signs are forgotten then", maxSignsWithin)
	}
	if s.Has("distinct") {
		if what := setting.OneOf(s.Text("distinct", ""), "rules", "modules"); what != "" {
			s.Problem("distinct", "%s", what)
		}
	}
	s.CheckUnknownKeys()
	return r
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func idOf(s *tomlfile.Section) string {
	id := s.Text("id", "")
	if id != "" && !idForm.MatchString(id) {
		s.Problem("id", "%s is not an id, must be 1 to 64 letters, digits, '.', '_' or '-'", setting.Shown(id))
	}
	return id
}

// checkContradictions reports keys and actions of p that exclude each other.
func checkContradictions(s *tomlfile.Section, p *Policy) {
	kills := p.Does(Kill) || p.Does(Stop)
	if list := s.Node.Table["actions"]; list != nil && list.Kind == unstable.Array && len(list.List) == 0 {
		s.Problem("actions", "must not be empty")
	}
	if p.Does(Kill) && p.Does(Stop) {
		s.Problem("actions", "kill and stop exclude each other: stop is pause, then kill")
	}
	if s.Has("ttl") && len(p.ContainerActions()) == 0 {
		s.Problem("ttl", "is for actions on a container, and there is none")
	}
	if s.Has("ttl") && kills {
		s.Problem("ttl", "nothing brings a killed container back: drop ttl, or kill and stop")
	}
	for _, key := range []string{"block_ttl", "block_rate"} {
		if !s.Has(key) || p.Does(BlockSource) {
			continue
		}
		s.Problem(key, "is for block-source, which is not among the actions")
	}
}

// warn warns of settings that are allowed but may not be intended.
func (f *policyFile) warn(s *tomlfile.Section, p *Policy) {
	onOne := func(k Kind) bool { return k.StopsService() && p.SignsFor(k) < DefaultSigns }
	one := slices.ContainsFunc(p.Actions, onOne) || p.Require.NoProof
	kills := slices.ContainsFunc(p.Actions, func(k Kind) bool { return (k == Kill || k == Stop) && (onOne(k) || p.Require.NoProof) })
	if kills && p.Require.Alerts < 2 {
		f.warnings.Add(s.At("actions"), s.Path+"actions", "kills on a single alert, and nothing takes that back; consider isolate, or [policy.require] alerts = 2")
	}
	stops := slices.ContainsFunc(p.Actions, Kind.StopsService)
	if slices.ContainsFunc(p.Actions, onOne) && p.Require.Alerts < 2 {
		f.warnings.Add(s.At("require"), s.Path+"require.signs", "acts on a single sign about a container, which may be a request that anyone can make; consider signs = 2")
	}
	ofScans := len(p.Match.Vulnerabilities) > 0 || p.Match.Vulnerability.set() || slices.Equal(p.Match.Modules, []string{bus.SBOMScanner})
	if stops && ofScans && !one {
		f.warnings.Add(s.At("actions"), s.Path+"actions", "a vulnerability is no sign of an attack, so the steps on containers wait for two other signs; write [policy.require] signs = 1 if a scan is enough")
	}
	anyone := len(p.Match.Trust) == 0 || slices.Contains(p.Match.Trust, event.TrustUnproven)
	if p.Require.NoProof && anyone && (len(p.ContainerActions()) > 0 || p.Does(BlockSource)) {
		f.warnings.Add(s.At("require"), s.Path+"require.proof", "acts on alerts that anyone who can write a log line or send a syslog message may cause; consider [policy.match] trust")
	}
	for _, by := range p.AttributeBy {
		if (by == ByImage || by == ByLabel) && len(p.ContainerActions()) > 0 {
			f.warnings.Add(s.At("attribute_by"), s.Path+"attribute_by", "%s may be shared by containers the alert is not about; all of them are acted on", by)
		}
	}
}
