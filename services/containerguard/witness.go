package containerguard

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/ironpost/ironpost/services/containerguard/policy"
)

const (
	maxMatters  = 4096 // policies × targets remembered; beyond it the ones that ended go, then all
	maxVouching = 64   // rules or modules of one matter
)

// witnesses remember, for policies that want several independent alerts, who spoke
// for them. A restart forgets: then nothing is done until they speak again.
type witnesses struct {
	mu      sync.Mutex
	matters map[string]map[string]time.Time // policy and target → rule or module → when
}

func newWitnesses() *witnesses { return &witnesses{matters: map[string]map[string]time.Time{}} }

// hear notes one voice about a matter and returns how many spoke within the span.
func (w *witnesses) hear(matter, voice string, within time.Duration, now time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	voices := w.matters[matter]
	if voices == nil {
		w.makeRoom(now)
		voices = map[string]time.Time{}
		w.matters[matter] = voices
	}
	maps.DeleteFunc(voices, func(_ string, at time.Time) bool { return now.Sub(at) > within })
	if _, known := voices[voice]; known || len(voices) < maxVouching {
		voices[voice] = now
	}
	return len(voices)
}

func (w *witnesses) makeRoom(now time.Time) {
	if len(w.matters) < maxMatters {
		return
	}
	maps.DeleteFunc(w.matters, func(_ string, voices map[string]time.Time) bool {
		for _, at := range voices {
			if now.Sub(at) < time.Hour {
				return false
			}
		}
		return true
	})
	if len(w.matters) >= maxMatters {
		clear(w.matters)
	}
}

// corroborated skips the steps of a policy that wants more alerts about a target
// than have come.
func (t *turn) corroborated(v verdict) []step {
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
		if s.outcome == skip {
			continue
		}
		target := t.matter(s)
		if _, once := heard[target]; !once {
			heard[target] = t.s.seen.hear(v.policy.ID+"|"+target, voice, need.Within, t.began)
		}
		if heard[target] < need.Alerts {
			out[i].outcome = skip
			out[i].reason = fmt.Sprintf("%d of %d independent alerts within %s, by %s", heard[target], need.Alerts, need.Within, wordFor(need))
		}
	}
	return out
}

// matter is what a step's alerts must agree on. A notification is about what the
// alert is about.
func (t *turn) matter(s step) string {
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
