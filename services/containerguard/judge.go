package containerguard

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// memory is what decisions about an alert remember of those before it.
type memory struct {
	guardState    *safety.State
	corroboration *safety.Corroboration
	blocks        *safety.Blocks
	waiting       *waitingList
	signs         *safety.Signs
	released      *releasedContainers
}

// answers reports whether a is answered: as the first alert of its series, an escalated one, or the first after the answer
// to the series ended, if there was one; or as an update with better evidence for what waits, which w is then, also of an escalated one.
func (m *memory) answers(a *event.Alert, now time.Time) (w *waitingAnswer, yes bool) {
	if !a.Update {
		return nil, true
	}
	if w = m.waiting.of(a, now); w != nil || a.Escalated {
		return w, true
	}
	if a.Series == "" { // of an earlier version: the first alert of its window was answered
		return nil, m.released.newerThanRelease(a, now)
	}
	return nil, !m.guardState.Answered(a.SeriesKey(), a.ID, a.ReceivedAt())
}

// noteAnswer notes that a step about the series of j's alert is done.
func (j *judge) noteAnswer(s step, v verdict) {
	target, ends := s.target, v.block.Expires
	switch {
	case s.kind == policy.Notify:
		target = ""
	case s.kind.OnContainer():
		ends = v.order.Expires
	}
	j.guardState.NoteAnswer(j.alert.SeriesKey(), j.alert.ID, target, ends, j.now)
}

// release lets the next alert about a container that was released be answered, and takes it out of the caps. What came before isolates
// it no more: its signs are forgotten, and the steps on it that wait are ended and returned.
func (m *memory) release(id string, now time.Time) (ended []*waitingAnswer) {
	m.guardState.Remove(id)
	m.guardState.CancelCooldowns("|" + containerTarget(id))
	m.guardState.EndAnswers(containerTarget(id), now)
	m.released.note(id, now)
	m.signs.Remove(id)
	return m.waiting.removeSteps(func(st waitingStep) bool { return st.Container != nil && st.Container.ID == id })
}

// judge turns the decisions of the policies about one alert into verdicts: it knows the cooldowns, the caps, what is
// isolated already, and the alerts that others must corroborate. The guard carries its verdicts out,
// the simulation only counts them.
type judge struct {
	*memory
	alert    *event.Alert
	now      time.Time
	host     string
	running  int                                      // containers, for the cap on the share of them
	isolated func(id string) (quarantine.Entry, bool) // the ledger
	webhook  bool                                     // one is configured
	again    string                                   // of an alert that waited: which steps are due; "" for a new one
}

// verdict is what is done about a step.
type verdict struct {
	outcome stepOutcome
	reason  string                 // of a skip; of a dry run the cap that would refuse the step, "" if none would
	noRoom  bool                   // a skip for want of room: it waits
	capped  *safety.BlockCandidate // the block that a cap refused
	order   quarantine.Order       // of a step on a container
	block   bus.Block              // of a block
	yields  string                 // the key of the weaker block whose place it takes
}

func skipped(reason string) verdict { return verdict{outcome: outcomeSkip, reason: reason} }

// decide returns the verdict about a step. One that is done counts from then.
func (j *judge) decide(d decision, s step) verdict {
	v := j.verdict(d, s)
	if v.outcome == outcomeAct {
		j.noteAnswer(s, v)
	}
	return v
}

func (j *judge) verdict(d decision, s step) verdict {
	switch {
	case d.waits && (s.kind.OnContainer() || !d.applies): // the pending alert does it when Docker is back
		return verdict{outcome: outcomeWait}
	case s.outcome == outcomeSkip:
		return skipped(s.reason)
	case s.kind == policy.Notify:
		return j.decideNotification(d, s)
	case s.kind == policy.BlockSource:
		return j.decideBlock(d, s)
	}
	return j.decideContainer(d, s)
}

// decideContainer lets a container be acted on unless it is isolated already, in its cooldown, or beyond a cap.
func (j *judge) decideContainer(d decision, s step) verdict {
	candidate := safety.Candidate{Container: s.container.ID, Project: s.container.Project, Running: j.running}
	if s.outcome == outcomeDryRun {
		return verdict{outcome: outcomeDryRun, reason: j.guardState.Check(candidate, j.now)}
	}
	id := j.id(d, s, "order")
	if e, known := j.isolated(s.container.ID); known && satisfies(e, s.kind) && e.Order.ActionID != id {
		return skipped(fmt.Sprintf("already isolated since %s by %s", e.Since.UTC().Format(time.RFC3339), e.Order.Policy))
	}
	if at := j.released.releasedAt(s.container.ID, j.now); j.alert.Update && !at.Before(j.alert.ReceivedAt()) {
		return skipped("released at " + at.UTC().Format(time.RFC3339) + ", after the newest match")
	}
	key := cooldownKey(d, s)
	if until := j.cooldown(key, d.policy.Cooldown); !until.IsZero() {
		return verdict{outcome: outcomeSkip, reason: "cooldown until " + until.Format(time.RFC3339), noRoom: true}
	}
	if refused := j.guardState.Admit(candidate, j.now); refused != "" {
		j.guardState.CancelCooldown(key, j.alert.ID)
		return verdict{outcome: outcomeSkip, reason: refused, noRoom: true}
	}
	return verdict{outcome: outcomeAct, order: j.order(d, s, id)}
}

func (j *judge) order(d decision, s step, id string) quarantine.Order {
	o := quarantine.Order{
		ActionID: id, Kind: quarantine.Kind(s.kind), Container: s.container, Policy: d.policy.ID,
		AlertID: j.alert.ID, TraceID: j.alert.TraceID, Reason: actionReason(j.alert, s), Ordered: j.now, Operator: s.approvedBy,
	}
	if d.policy.TTL > 0 {
		o.Expires = j.now.Add(d.policy.TTL)
	}
	return o
}

// satisfies reports whether the ledger entry already asks for all that kind does.
func satisfies(e quarantine.Entry, kind policy.Kind) bool {
	want, _ := quarantine.Kind(kind).Restrictions()
	return e.State != quarantine.Releasing && e.Want.Include(want)
}

// decideBlock lets the source address be blocked unless it is in its cooldown or beyond a cap.
func (j *judge) decideBlock(d decision, s step) verdict {
	if s.outcome == outcomeDryRun {
		return verdict{outcome: outcomeDryRun}
	}
	if until := j.cooldown(cooldownKey(d, s), d.policy.Cooldown); !until.IsZero() {
		return skipped("cooldown until " + until.Format(time.RFC3339))
	}
	ttl := d.policy.BlockTTL
	if s.maxTTL > 0 {
		ttl = min(ttl, s.maxTTL)
	}
	return j.admitBlock(d, s, netip.PrefixFrom(s.address, s.address.BitLen()), ttl)
}

// admitBlock counts a block of prefix, unless a cap forbids it.
func (j *judge) admitBlock(d decision, s step, prefix netip.Prefix, ttl time.Duration) verdict {
	b := bus.Block{
		Prefix: prefix, Scope: bus.Scope{Rate: d.policy.BlockRate}, Hosts: blockHosts(j.alert, s, j.host), Expires: j.now.Add(ttl).UTC(), Created: j.now.UTC(),
		Source: Name, MadeOn: j.host, Policy: d.policy.ID, AlertID: j.alert.ID, Trust: j.alert.Trust, Reason: event.Printable(d.policy.ID+": "+j.alert.Title, maxReason),
	}
	c := safety.BlockCandidate{
		Key: b.Key(), Network: networkOf(prefix).String(), Source: evidenceSource(j.alert), Strength: blockStrength(j.alert, d.policy), Expires: b.Expires,
	}
	yields, refused := j.blocks.Admit(c, j.now)
	if refused != "" {
		for _, key := range []string{cooldownKey(d, s), s.target} { // the target is that of a network
			j.guardState.CancelCooldown(key, j.alert.ID)
		}
		return verdict{outcome: outcomeSkip, reason: refused, noRoom: s.address.IsValid(), capped: &c}
	}
	if yielded, _, err := bus.ParseBlockKey(yields); err == nil {
		j.guardState.CancelCooldowns("|address:" + yielded.Addr().String()) // its next alert is answered
		j.guardState.EndAnswers("address:"+yielded.Addr().String(), j.now)
	}
	return verdict{outcome: outcomeAct, block: b, yields: yields}
}

// decideNotification lets a notification be sent once per policy and dedup key in a cooldown, so that a flood of alerts is
// no flood of messages.
func (j *judge) decideNotification(d decision, s step) verdict {
	if s.outcome == outcomeDryRun {
		return verdict{outcome: outcomeDryRun}
	}
	if !j.webhook {
		return skipped("no webhook is configured: container.webhook_url")
	}
	until := j.cooldown(d.policy.ID+"|notify|"+j.alert.DedupKey, d.policy.Cooldown)
	if !until.IsZero() && j.again == "" { // what is done after it waited is told all the same
		return skipped("cooldown until " + until.Format(time.RFC3339))
	}
	return verdict{outcome: outcomeAct}
}

// corroborate returns the steps of d. If its policy requires more independent alerts
// about a target than have come, the target's steps are skipped.
func (j *judge) corroborate(d decision) []step {
	need := d.policy.Require
	if need.Alerts < 2 {
		return d.steps
	}
	source, by := j.alert.Rule.ID, "rule"
	if need.Modules {
		source, by = j.alert.Module, "module"
	}
	counted := map[string]int{} // an alert counts once per subject, however many steps there are
	out := make([]step, len(d.steps))
	for i, s := range d.steps {
		out[i] = s
		if s.outcome == outcomeSkip || s.need == needEvidence || s.need == needConnection { // an unproven sender corroborates nothing
			continue
		}
		subject := j.corroborationSubject(s)
		if _, done := counted[subject]; !done {
			counted[subject] = j.corroboration.Add(d.policy.ID+"|"+subject, source, need.Within, j.now)
		}
		if n := counted[subject]; n < need.Alerts {
			out[i].outcome = outcomeSkip
			out[i].reason = fmt.Sprintf("%d of %d independent alerts within %s, by %s", n, need.Alerts, need.Within, by)
		}
	}
	return out
}

// corroborationSubject returns the subject that independent alerts must share: the target
// of a step, and for a notification the source, container or host of the alert.
func (j *judge) corroborationSubject(s step) string {
	switch {
	case s.kind != policy.Notify:
		return s.target
	case j.alert.Source != nil:
		return "address:" + j.alert.Source.IP
	case j.alert.Container != nil:
		return "container:" + j.alert.Container.ID
	}
	return "host:" + j.alert.Host
}

// cooldown begins a cooldown of key for span. It returns the end of the cooldown that another alert began, or zero if the
// step may be done. A stronger alert is not held by the cooldown of a weaker one.
func (j *judge) cooldown(key string, span time.Duration) time.Time {
	return j.guardState.StartCooldown(key, j.alert.ID, j.alert.Trust.Rank(), span, j.now)
}

func cooldownKey(d decision, s step) string {
	return d.policy.ID + "|" + string(s.kind) + "|" + s.target
}

// id derives from the alert, so that an alert delivered again has the same ids.
func (j *judge) id(d decision, s step, phase string) string {
	if s.kind == policy.Notify && j.again != "" { // a further message about the alert
		phase += "\n" + j.again
	}
	return event.ID("guard", j.host, j.alert.ID, d.policy.ID, string(s.kind), s.target, phase)
}
