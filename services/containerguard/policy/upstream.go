package policy

import (
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/setting"
)

// isUpstream tells the form of the Rust Ironpost, one policy per file without a
// header, by keys that are only in it.
func isUpstream(root *node) bool {
	for _, key := range []string{"severity_threshold", "target_filter", "action"} {
		if root.table[key] != nil && root.table[policyHeader] == nil {
			return true
		}
	}
	return false
}

// upstream reads that form: id, name, description, enabled, severity_threshold,
// priority, target_filter and action, all of them required, and no others.
//
// Two things are better than there: the container must be the one the alert is
// about, not the first that fits the filter; and labels are honoured, not refused.
func (f *policyFile) upstream(root *node, found *problemList) {
	s := &section{node: root, problems: found}
	s.require("id", "name", "description", "enabled", "severity_threshold", "priority", "target_filter", "action")
	p := &Policy{
		Position:    root.position,
		ID:          s.text("id", ""),
		Name:        s.text("name", ""),
		Description: s.text("description", ""),
		Enabled:     s.boolean("enabled", true),
		Priority:    s.number("priority", DefaultPriority, 0, 1<<32-1),
		Match:       Match{Severity: s.severity("severity_threshold", event.Info)},
		Require:     Require{Alerts: 1, Within: defaultWithin},
		AttributeBy: DefaultAttribution(),
		BlockTTL:    DefaultBlockTTL,
		Cooldown:    DefaultCooldown,
	}
	filter := s.table("target_filter")
	p.Match.Containers = filter.patterns("container_names")
	p.Match.Images = filter.patterns("image_patterns")
	p.Match.Labels = filter.list("labels", checkLabel)
	filter.checkUnknownKeys()
	p.Actions = f.upstreamAction(s)
	s.checkUnknownKeys()
	if p.ID != "" && !idForm.MatchString(p.ID) {
		s.problem("id", "%s is no id, must be 1 to 64 letters, digits, '.', '_' or '-'", setting.Shown(p.ID))
	}
	f.policies = append(f.policies, p)
}

// upstreamAction reads action = "Pause", { Pause = [] } or { NetworkDisconnect = {
// networks = […] } }. Its stop had a grace of 10 s in which the attacker ran on;
// ours freezes first.
func (f *policyFile) upstreamAction(s *section) []Kind {
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
		s.problems.add(Problem{Position: v.keyPositions[name], Key: "action." + setting.Key(name), What: "is not an action, " + allowed})
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
	if list := networks.patterns("networks"); len(list) > 0 {
		f.warn(networks.position("networks"), "action."+name+".networks", "is not needed: the container is taken off every network, for one that is left would carry on")
	}
	networks.checkUnknownKeys()
	return []Kind{kind}
}

var upstreamKinds = map[string]Kind{"NetworkDisconnect": Disconnect, "Pause": Pause, "Stop": Stop}
