package policy

import (
	"cmp"
	"github.com/ironpost/ironpost/internal/tomlfile"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ironpost/ironpost/internal/setting"
)

// Step is a part of a policy: its actions are done After the step before, or with Approve when an operator approves
// those on containers.
type Step struct {
	Actions []Kind
	After   time.Duration
	Approve bool
	Signs   int // how many signs its actions on a container need; 0: as Require says
}

// maxAfter bounds how long a policy waits between two steps: what waits takes room.
const maxAfter = time.Hour

// strengths ranks the actions: a later step that is weaker adds nothing.
var strengths = map[Kind]int{BlockSource: 1, CutEgress: 2, Pause: 3, Disconnect: 3, Isolate: 4, Stop: 5, Kill: 5}

// StepOf returns the number of the step of p that does k, from 0, and how long after the alert it is done. Each of p.Actions is in one.
func (p *Policy) StepOf(k Kind) (n int, after time.Duration) {
	for n < len(p.Steps)-1 && !slices.Contains(p.Steps[n].Actions, k) {
		after += p.Steps[n].After
		n++
	}
	return n, after + p.Steps[n].After
}

// SignsFor returns how many independent signs about a container k needs.
func (p *Policy) SignsFor(k Kind) int {
	n, _ := p.StepOf(k)
	return cmp.Or(p.Steps[n].Signs, p.Require.Signs)
}

// decodeSteps reads the actions of p: one list, or a list for each step.
func (f *policyFile) decodeSteps(s *tomlfile.Section, p *Policy) {
	approve := s.Bool("approve", false)
	actions := enumList(s, "actions", kinds)
	list := s.Get("step", unstable.Array, "a list of sections [[policy.step]]")
	switch {
	case s.Has("step") && s.Has("actions"):
		s.Problem("actions", "and [[policy.step]] exclude each other: move the actions to the first step")
	case !s.Has("step"):
		s.Require("actions")
		f.checkActions(s, actions)
		p.Steps = []Step{{Actions: actions, Approve: approve}}
	}
	if list != nil && len(list.List) == 0 {
		s.Problem("step", "must not be empty")
	}
	if list != nil {
		for _, n := range list.List {
			f.decodeStep(s, p, n, approve)
		}
	}
	for _, step := range p.Steps {
		p.Actions = append(p.Actions, step.Actions...)
	}
	if approve && !slices.ContainsFunc(p.Actions, Kind.OnContainer) {
		s.Problem("approve", "is for actions on a container, and there is none")
	}
}

// decodeStep adds a step to p.
func (f *policyFile) decodeStep(policy *tomlfile.Section, p *Policy, n *tomlfile.Node, approve bool) {
	path := policy.Path + "step"
	if n.Kind != unstable.InlineTable {
		policy.Problems.Add(n.Position, path, "is %s, must be a section [[policy.step]]", setting.TOMLKind(n.Kind))
		return
	}
	s := &tomlfile.Section{Path: path + ".", Node: n, Problems: policy.Problems}
	s.Require("actions")
	step := Step{
		Actions: enumList(s, "actions", kinds), After: s.Duration("after", 0, minDuration), Approve: s.Bool("approve", approve),
		Signs: s.Number("signs", 0, 1, DefaultSigns),
	}
	s.CheckUnknownKeys()
	if list := n.Table["actions"]; list != nil && list.Kind == unstable.Array && len(list.List) == 0 {
		s.Problem("actions", "must not be empty")
	}
	if step.After > maxAfter {
		s.Problem("after", "must be %s at most", maxAfter)
	}
	if step.Approve && step.After > 0 {
		s.Problem("after", "and approve exclude each other: what an operator approves is done at once")
	}
	if step.Approve && s.Has("signs") {
		s.Problem("signs", "and approve exclude each other: an operator decides")
	}
	f.checkActions(s, step.Actions)
	onContainer := slices.ContainsFunc(step.Actions, Kind.OnContainer)
	if s.Has("approve") && step.Approve && !onContainer {
		s.Problem("approve", "is for actions on a container, and there is none in the step")
	}
	if s.Has("signs") && !slices.ContainsFunc(step.Actions, Kind.StopsService) {
		s.Problem("signs", "is for pause, disconnect, isolate, stop and kill, and there is none in the step")
	}
	strongest, last := 0, 0
	for _, earlier := range p.Steps {
		for _, k := range earlier.Actions {
			strongest = max(strongest, strengths[k])
			if slices.Contains(step.Actions, k) {
				s.Problem("actions", "%s is in an earlier step", k)
			}
		}
	}
	for _, k := range step.Actions {
		last = max(last, strengths[k])
	}
	if onContainer && last < strongest {
		f.mistakes.Add(s.At("actions"), s.Path+"actions", "is weaker than an earlier step, so it changes nothing: steps go from block-source over cut-egress, pause and isolate to kill")
	}
	if len(p.Steps) > 0 && step.After == 0 {
		if before := p.Steps[len(p.Steps)-1]; step.Approve == before.Approve && step.Signs == before.Signs {
			f.mistakes.Add(n.Position, path, "is done together with the step before: join them, or write after, approve or signs")
		}
	}
	p.Steps = append(p.Steps, step)
}

// checkStepTimes warns of steps that come when the container was released already.
func (f *policyFile) checkStepTimes(s *tomlfile.Section, p *Policy) {
	after := time.Duration(0)
	for _, step := range p.Steps {
		after += step.After
	}
	if p.TTL > 0 && after >= p.TTL {
		f.mistakes.Add(s.At("ttl"), s.Path+"ttl", "ends before the last step, %s after the alert: the container is released then", after)
	}
}
