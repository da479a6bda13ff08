package containerguard

import (
	"fmt"

	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// corroborated skips the steps of a policy that wants more alerts about a target
// than have come.
func (t *response) corroborated(v decision) []step {
	need := v.policy.Require
	if need.Alerts < 2 {
		return v.steps
	}
	voice := t.alert.Rule.ID
	if need.Modules {
		voice = t.alert.Module
	}
	heard := map[string]int{} // each target is heard of once, whatever is to be done to it
	out := make([]step, len(v.steps))
	for i, s := range v.steps {
		out[i] = s
		if s.outcome == outcomeSkip {
			continue
		}
		target := t.matter(s)
		if _, once := heard[target]; !once {
			heard[target] = t.p.votes.Hear(v.policy.ID+"|"+target, voice, need.Within, t.began)
		}
		if heard[target] < need.Alerts {
			out[i].outcome = outcomeSkip
			out[i].reason = fmt.Sprintf("%d of %d independent alerts within %s, by %s", heard[target], need.Alerts, need.Within, wordFor(need))
		}
	}
	return out
}

// matter is what a step's alerts must agree on. A notification is about what the
// alert is about.
func (t *response) matter(s step) string {
	switch {
	case s.kind != policy.Notify:
		return s.target
	case t.alert.Source != nil:
		return "address:" + t.alert.Source.IP
	case t.alert.Container != nil:
		return "container:" + t.alert.Container.ID
	}
	return "host:" + t.alert.Host
}

func wordFor(r policy.Require) string {
	if r.Modules {
		return "module"
	}
	return "rule"
}
