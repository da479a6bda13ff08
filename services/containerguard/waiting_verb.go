package containerguard

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
)

// VerbWaiting is the verb of operators that lists the steps that wait. Its answer is a WaitingReply.
const VerbWaiting = "waiting"

const (
	maxWaitingListed = 250 // steps; with the cut texts a reply stays below the bus's 1 MiB
	maxWaitingText   = 300 // bytes of a title and of a reason
)

// WaitingStep is a step of a policy that waits for what it needs: connection, evidence, sign, time, approval or room.
type WaitingStep struct {
	Alert    string         `json:"alert"` // its id
	Series   string         `json:"series"`
	Title    string         `json:"title"`
	Severity event.Severity `json:"severity"`
	Trust    event.Trust    `json:"trust,omitempty"`
	Policy   string         `json:"policy"`
	Kind     string         `json:"kind"`
	Target   string         `json:"target"`         // as actions name it
	Name     string         `json:"name,omitempty"` // of the container
	Need     string         `json:"need"`
	Reason   string         `json:"reason"`
	Since    time.Time      `json:"since"`
	Due      time.Time      `json:"due,omitzero"` // of the need time: when it is done
	Until    time.Time      `json:"until"`        // when it ends unanswered
}

// WaitingReply lists the steps that wait, those with the strongest evidence first. Counts has how many wait for each need,
// Incomplete how many of these are left out.
type WaitingReply struct {
	Waiting    []WaitingStep  `json:"waiting"`
	Counts     map[string]int `json:"counts"`
	Incomplete int            `json:"incomplete,omitempty"`
}

// listWaiting answers VerbWaiting with a WaitingReply.
func (s *Service) listWaiting(context.Context, []byte) (any, error) {
	reply := WaitingReply{Waiting: []WaitingStep{}, Counts: map[string]int{}}
	for _, w := range s.run.Load().waiting.list(time.Now()) {
		for _, key := range slices.Sorted(maps.Keys(w.Steps)) {
			st := w.Steps[key]
			reply.Counts[string(st.Need)]++
			if len(reply.Waiting) == maxWaitingListed {
				reply.Incomplete++
				continue
			}
			listed := WaitingStep{
				Alert: w.Alert.ID, Series: w.Alert.SeriesID(), Title: event.Printable(w.Alert.Title, maxWaitingText), Severity: w.Alert.Severity,
				Trust: w.Alert.Trust, Policy: st.Policy, Kind: string(st.Kind), Target: st.Target, Need: string(st.Need),
				Reason: event.Printable(st.Reason, maxWaitingText), Since: w.Since, Due: st.Due, Until: st.Until,
			}
			if st.Container != nil {
				listed.Name = st.Container.Name
			}
			reply.Waiting = append(reply.Waiting, listed)
		}
	}
	return reply, nil
}

// waitingRemark says how many steps wait for what, "" if none do.
func waitingRemark(steps map[need]int) string {
	var parts []string
	for _, n := range slices.SortedFunc(maps.Keys(steps), func(a, b need) int { return cmp.Or(steps[b]-steps[a], cmp.Compare(a, b)) }) {
		parts = append(parts, fmt.Sprintf("%s %d", n, steps[n]))
	}
	if len(parts) == 0 {
		return ""
	}
	return "steps of policies wait for: " + strings.Join(parts, ", ") + "; see ironpost quarantine waiting"
}
