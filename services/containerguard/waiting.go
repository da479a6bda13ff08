package containerguard

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/connection"
	"github.com/ironpost/ironpost/internal/folder"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

const (
	maxWaiting       = 1024           // answers about containers, and as many about addresses alone; beyond it the weakest is dropped
	maxWaitingSource = maxWaiting / 4 // of one evidence source
	// evidenceWait is how long a step waits for better evidence, and a block for room.
	evidenceWait = 5 * time.Minute
	// containerRoomWait is how long a step on a container waits for room: until then an operator may release others.
	containerRoomWait = time.Hour
	answerPause       = 5 * time.Second // after one that failed
)

// need is what a step waits for.
type need string

// The needs.
const (
	needConnection need = "connection" // the kernel sees the address connect
	needEvidence   need = "evidence"   // a further alert of the same matter that is better proven
	needSign       need = "sign"       // a further independent sign that the container is compromised
	needTime       need = "time"       // the policy does the step later
	needApproval   need = "approval"   // an operator approves it
	needRoom       need = "room"       // a cap or a cooldown refuses it for now
)

// waitingStep is a step of a policy that waits.
type waitingStep struct {
	Need      need             `json:"need"`
	Policy    string           `json:"policy"`
	Kind      policy.Kind      `json:"kind"`
	Target    string           `json:"target"` // as actions name it
	Container *event.Container `json:"container,omitempty"`
	Project   string           `json:"project,omitempty"` // of the container
	Reason    string           `json:"reason"`
	Due       time.Time        `json:"due,omitzero"` // of needTime: when it is done

	Approval   string `json:"approval,omitempty"`    // the id of the request to an operator
	ApprovedBy string `json:"approved_by,omitempty"` // the operator who approved it

	Until  time.Time              `json:"until"`
	Query  *connection.Query      `json:"query,omitempty"`  // the connection that proves the address
	Within time.Duration          `json:"within,omitempty"` // of needSign: the time in which two signs must come
	Block  *safety.BlockCandidate `json:"block,omitempty"`  // what a cap refused
}

// waitingAnswer is an alert of which steps wait. The alert is evaluated again when what one of them needs has come.
// It is not changed while it is in a list.
type waitingAnswer struct {
	Alert  *event.Alert           `json:"alert"` // without what no policy matches
	Source string                 `json:"source"`
	Since  time.Time              `json:"since"`
	Steps  map[string]waitingStep `json:"steps"`          // by cooldownKey
	Late   bool                   `json:"late,omitempty"` // the connection that proves it came after the alert
}

// key is the same for an alert, its updates, and later alerts of the same matter and trust: a weaker one takes the
// place of none.
func (w *waitingAnswer) key() string { return answerKey(w.Alert, w.Alert.Trust) }

func answerKey(a *event.Alert, trust event.Trust) string {
	return a.Module + "|" + a.Host + "|" + string(trust) + "|" + a.DedupKey
}

// until returns when the last of the steps ends.
func (w *waitingAnswer) until() (last time.Time) {
	for _, s := range w.Steps {
		if s.Until.After(last) {
			last = s.Until
		}
	}
	return last
}

// onContainer reports whether a step of w is one on a container.
func (w *waitingAnswer) onContainer() bool {
	for _, s := range w.Steps {
		if s.Kind.OnContainer() {
			return true
		}
	}
	return false
}

// compareStrength orders by the trust of the evidence, then by its severity.
func compareStrength(a, b *waitingAnswer) int {
	return cmp.Or(cmp.Compare(a.Alert.Trust.Rank(), b.Alert.Trust.Rank()), cmp.Compare(a.Alert.Severity, b.Alert.Severity))
}

// connectsLate reports whether the connection that proves a came after it, when a waits as w does.
func (w *waitingAnswer) connectsLate(a *event.Alert) bool {
	return a == w.Alert && (w.Late || w.query() != nil)
}

// query returns the connection that proves the address, nil if no step waits for one.
func (w *waitingAnswer) query() *connection.Query {
	for _, s := range w.Steps {
		if s.Query != nil {
			return s.Query
		}
	}
	return nil
}

// strongerThan reports whether an update, whose trust is limited, adds nothing to w.
func (w *waitingAnswer) strongerThan(update *event.Alert) bool {
	return update.Trust.Rank() < w.Alert.Trust.Rank()
}

// succeeds reports whether w may take the place of before, of which nothing was done: no stale update ends it.
func (w *waitingAnswer) succeeds(before *waitingAnswer) bool {
	return len(w.Steps) > 0 && !w.until().Before(before.until())
}

// waitingList holds the answers that wait. It is on the disk when save returns. Its methods may be called concurrently.
type waitingList struct {
	files *folder.Folder // nil: in memory only
	saves sync.Mutex     // one save at a time

	mu      sync.Mutex
	byKey   map[string]*waitingAnswer
	paused  map[string]time.Time // by key: not tried until then
	unsaved map[string]bool      // keys that changed
	dropped uint64               // for want of room
}

func newWaitingList() *waitingList {
	return &waitingList{byKey: map[string]*waitingAnswer{}, paused: map[string]time.Time{}, unsaved: map[string]bool{}}
}

// put keeps w, in place of an earlier answer to the same alert, unless it has no steps: an alert about the same that is
// stale must not end what waits. Beyond the limits the weakest is dropped, of several the one that ends first.
func (l *waitingList) put(w *waitingAnswer, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(w, now)
}

// replace keeps next in place of w, unless w is gone: what answered the matter meanwhile is not undone.
func (l *waitingList) replace(w, next *waitingAnswer, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byKey[w.key()] == w {
		l.drop(w.key())
		l.add(next, now)
	}
}

// end forgets all answers to the matter of a.
func (l *waitingList) end(a *event.Alert) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, trust := range event.Trusts() {
		l.drop(answerKey(a, trust))
	}
}

// remove forgets w, unless another took its place.
func (l *waitingList) remove(w *waitingAnswer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byKey[w.key()] == w {
		l.drop(w.key())
	}
}

// removeSteps forgets the steps that of selects, and returns them with what is left of each answer removed from it.
func (l *waitingList) removeSteps(of func(waitingStep) bool) (removed []*waitingAnswer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, w := range l.byKey {
		ended, left := *w, *w
		ended.Steps, left.Steps = map[string]waitingStep{}, map[string]waitingStep{}
		for name, s := range w.Steps {
			if of(s) {
				ended.Steps[name] = s
			} else {
				left.Steps[name] = s
			}
		}
		if len(ended.Steps) == 0 {
			continue
		}
		removed = append(removed, &ended)
		l.drop(key)
		if len(left.Steps) > 0 {
			l.byKey[key] = &left
		}
	}
	return removed
}

// drop forgets the answer with key. mu is held.
func (l *waitingList) drop(key string) {
	if w := l.byKey[key]; w != nil {
		delete(l.byKey, key)
		delete(l.paused, key)
		l.unsaved[key] = true
	}
}

// add is put; mu is held.
func (l *waitingList) add(w *waitingAnswer, now time.Time) {
	if !w.until().After(now) {
		return
	}
	key := w.key()
	if before := l.byKey[key]; before != nil && before.Since.Before(w.Since) {
		w.Since = before.Since
	}
	l.drop(key)
	l.byKey[key], l.unsaved[key] = w, true
	sameKind := func(other *waitingAnswer) bool { return other.onContainer() == w.onContainer() }
	sameSource := func(other *waitingAnswer) bool { return sameKind(other) && other.Source == w.Source }
	l.keep(sameSource, maxWaitingSource, now)
	l.keep(sameKind, maxWaiting, now)
}

// keep drops the weakest of those that of selects if there are more than limit. mu is held.
func (l *waitingList) keep(of func(*waitingAnswer) bool, limit int, now time.Time) {
	n := 0
	weakest := ""
	for key, w := range l.byKey {
		if !of(w) || !w.until().After(now) {
			continue // removeSteps reports what is over
		}
		n++
		other := l.byKey[weakest]
		if other == nil || compareStrength(w, other) < 0 || compareStrength(w, other) == 0 && w.until().Before(other.until()) {
			weakest = key
		}
	}
	if n > limit {
		l.drop(weakest)
		l.dropped++
	}
}

// of returns the strongest answer to a that waits, nil if there is none.
func (l *waitingList) of(a *event.Alert, now time.Time) *waitingAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, trust := range event.Trusts() {
		if w := l.byKey[answerKey(a, trust)]; w != nil && w.until().After(now) {
			return w
		}
	}
	return nil
}

// pause keeps the answer with key from being tried until a time.
func (l *waitingList) pause(key string, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byKey[key] != nil {
		l.paused[key] = until
	}
}

// with returns the answers with a step, not over, that of selects, the strongest first and of several the one that waits longest. A paused
// one is left out.
func (l *waitingList) with(of func(waitingStep) bool, now time.Time) (out []*waitingAnswer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, w := range l.byKey {
		if now.Before(l.paused[key]) {
			continue
		}
		for _, s := range w.Steps {
			if s.Until.After(now) && of(s) {
				out = append(out, w)
				break
			}
		}
	}
	slices.SortFunc(out, strongestFirst)
	return out
}

// list returns the answers with a step that is not over, ordered as with does.
func (l *waitingList) list(now time.Time) (out []*waitingAnswer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.byKey {
		if w.until().After(now) {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, strongestFirst)
	return out
}

func strongestFirst(a, b *waitingAnswer) int {
	return cmp.Or(compareStrength(b, a), a.Since.Compare(b.Since), cmp.Compare(a.key(), b.key()))
}

// counts returns how many steps wait for each need, and how many answers were dropped for want of room.
func (l *waitingList) counts() (steps map[need]int, dropped uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	steps = map[need]int{}
	for _, w := range l.byKey {
		for _, s := range w.Steps {
			steps[s.Need]++
		}
	}
	return steps, l.dropped
}
