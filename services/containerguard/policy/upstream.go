package policy

import (
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
func (f *policyFile) decodeUpstream(s *section) {
	s.require("id", "name", "description", "enabled", "severity_threshold", "priority", "target_filter", "action")
	p := &Policy{
		Position:    s.node.position,
		ID:          s.id(),
		Name:        s.text("name", ""),
		Description: s.text("description", ""),
		Enabled:     s.boolean("enabled", true),
		Priority:    s.number("priority", DefaultPriority, 0, 1<<32-1),
		Match:       Match{Severity: s.severity("severity_threshold", event.Info)},
		Require:     Require{Alerts: 1, Within: defaultWithin, Signs: DefaultSigns, SignsWithin: DefaultSignsWithin},
		AttributeBy: DefaultAttribution(),
		BlockTTL:    DefaultBlockTTL,
		Cooldown:    DefaultCooldown,
	}
	filter := s.table("target_filter")
	p.Match.Containers = filter.list("container_names", checkPattern)
	p.Match.Images = filter.list("image_patterns", checkPattern)
	p.Match.Labels = filter.list("labels", checkLabel)
	filter.checkUnknownKeys()
	f.checkPatterns(filter, "container_names", nameMistake)
	f.checkPatterns(filter, "image_patterns", imageMistake)
	f.checkPatterns(filter, "labels", labelMistake)
	p.Actions = f.decodeUpstreamAction(s)
	p.Steps = []Step{{Actions: p.Actions}}
	s.checkUnknownKeys()
	f.policies = append(f.policies, p)
}

var upstreamKinds = map[string]Kind{"NetworkDisconnect": Disconnect, "Pause": Pause, "Stop": Stop}

// decodeUpstreamAction reads action = "Pause", { Pause = [] } or { NetworkDisconnect = {
// networks = […] } }. The Rust stop left the attacker 10 s; ours freezes first.
func (f *policyFile) decodeUpstreamAction(s *section) []Kind {
	const allowed = "must be one of NetworkDisconnect = { networks = [...] }, Pause = [], Stop = []"
	s.read = append(s.read, "action")
	v := s.node.table["action"]
	switch {
	case v == nil:
		return nil
	case v.kind == unstable.String:
		if kind, ok := upstreamKinds[v.text]; ok {
			return []Kind{kind}
		}
		s.problem("action", "%s is not allowed, %s", setting.Shown(v.text), allowed)
		return nil
	case v.kind != unstable.InlineTable || len(v.keys) != 1:
		s.problem("action", "is not one action, %s", allowed)
		return nil
	}
	name := v.keys[0]
	kind, ok := upstreamKinds[name]
	if !ok {
		s.problems.add(v.keyPositions[name], "action."+setting.Key(name), "is not an action, %s", allowed)
		return nil
	}
	a := &section{path: "action.", node: v, problems: s.problems}
	if kind != Disconnect {
		if list := a.get(name, unstable.Array, "an empty list"); list != nil && len(list.list) > 0 {
			a.problem(name, "must be an empty list")
		}
		return []Kind{kind}
	}
	networks := a.table(name)
	networks.require("networks")
	if list := networks.list("networks", checkPattern); len(list) > 0 {
		f.warnings.add(networks.position("networks"), "action."+name+".networks", "is not needed: the container is taken off every network, as any that is left would do for the attacker")
	}
	networks.checkUnknownKeys()
	return []Kind{kind}
}
