package policy

import (
	"github.com/ironpost/ironpost/internal/tomlfile"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/setting"
)

// decodeUpstream reads the form of the Rust Ironpost, one policy per file without a header:
// id, name, description, enabled, severity_threshold, priority, target_filter and action,
// all of them required, and no others.
//
// It differs in two points: the container must be the one the alert is about, not the
// first that fits the filter; and labels are matched, not refused.
func (f *policyFile) decodeUpstream(s *tomlfile.Section) {
	s.Require("id", "name", "description", "enabled", "severity_threshold", "priority", "target_filter", "action")
	p := &Policy{
		Position:    s.Node.Position,
		ID:          idOf(s),
		Name:        s.Text("name", ""),
		Description: s.Text("description", ""),
		Enabled:     s.Bool("enabled", true),
		Priority:    s.Number("priority", DefaultPriority, 0, 1<<32-1),
		Match:       Match{Severity: severityOf(s, "severity_threshold", event.Info)},
		Require:     Require{Alerts: 1, Within: defaultWithin, Signs: DefaultSigns, SignsWithin: DefaultSignsWithin},
		AttributeBy: DefaultAttribution(),
		BlockTTL:    DefaultBlockTTL,
		Cooldown:    DefaultCooldown,
	}
	filter := s.Table("target_filter")
	p.Match.Containers = filter.List("container_names", checkPattern)
	p.Match.Images = filter.List("image_patterns", checkPattern)
	p.Match.Labels = filter.List("labels", checkLabel)
	filter.CheckUnknownKeys()
	f.checkPatterns(filter, "container_names", nameMistake)
	f.checkPatterns(filter, "image_patterns", imageMistake)
	f.checkPatterns(filter, "labels", labelMistake)
	p.Actions = f.decodeUpstreamAction(s)
	p.Steps = []Step{{Actions: p.Actions}}
	s.CheckUnknownKeys()
	f.policies = append(f.policies, p)
}

var upstreamKinds = map[string]Kind{"NetworkDisconnect": Disconnect, "Pause": Pause, "Stop": Stop}

// decodeUpstreamAction reads action = "Pause", { Pause = [] } or { NetworkDisconnect = {
// networks = […] } }. The Rust stop left the attacker 10 s; ours freezes first.
func (f *policyFile) decodeUpstreamAction(s *tomlfile.Section) []Kind {
	const allowed = "must be one of NetworkDisconnect = { networks = [...] }, Pause = [], Stop = []"
	v := s.Value("action")
	switch {
	case v == nil:
		return nil
	case v.Kind == unstable.String:
		if kind, ok := upstreamKinds[v.Text]; ok {
			return []Kind{kind}
		}
		s.Problem("action", "%s is not allowed, %s", setting.Shown(v.Text), allowed)
		return nil
	case v.Kind != unstable.InlineTable || len(v.Keys) != 1:
		s.Problem("action", "is not one action, %s", allowed)
		return nil
	}
	name := v.Keys[0]
	kind, ok := upstreamKinds[name]
	if !ok {
		s.Problems.Add(v.KeyPositions[name], "action."+setting.Key(name), "is not an action, %s", allowed)
		return nil
	}
	a := &tomlfile.Section{Path: "action.", Node: v, Problems: s.Problems}
	if kind != Disconnect {
		if list := a.Get(name, unstable.Array, "an empty list"); list != nil && len(list.List) > 0 {
			a.Problem(name, "must be an empty list")
		}
		return []Kind{kind}
	}
	networks := a.Table(name)
	networks.Require("networks")
	if list := networks.List("networks", checkPattern); len(list) > 0 {
		f.warnings.Add(networks.At("networks"), "action."+name+".networks", "is not needed: the container is taken off every network, as any that is left would do for the attacker")
	}
	networks.CheckUnknownKeys()
	return []Kind{kind}
}
