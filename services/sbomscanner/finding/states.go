package finding

import (
	"time"

	"github.com/ironpost/ironpost/event"
)

// State is where a finding is in its life. ARCHITECTURE.md has the diagram.
type State string

// The states.
const (
	New      State = "new"      // found; its alert is not stored by the bus yet
	Open     State = "open"     // found; its alert is stored, or it is below the lowest severity that is reported
	Fixed    State = "fixed"    // not found any more
	Reopened State = "reopened" // found again after it was fixed or ignored; its alert is not stored yet
	Ignored  State = "ignored"  // found; the ignore file or an OpenVEX document says that it does not matter
)

// States returns every state, in the order of the constants.
func States() []State { return []State{New, Open, Fixed, Reopened, Ignored} }

// Present reports whether the last match found the finding.
func (s State) Present() bool { return s != Fixed }

// waits reports whether an alert about the finding waits for the bus.
func (s State) waits() bool { return s == New || s == Reopened }

// Thresholds say what is reported.
type Thresholds struct {
	Report event.Severity // findings at or above are reported
	Alone  event.Severity // findings at or above have an alert of their own
}

func (t Thresholds) reports(f *Finding) bool { return f.KEV || f.Severity >= t.Report }

// alone reports whether f gets an alert of its own; one that is known to be exploited always does.
func (t Thresholds) alone(f *Finding) bool { return f.KEV || t.reports(f) && f.Severity >= t.Alone }

// news says what is to be reported of a finding after a match.
type news struct {
	digest bool // in the digest
	alone  bool // in an alert of its own
}

// found moves f, which a match has found, to its next state. ignored is why it does not matter, "" if it does.
//
//	from               condition                          to         reported
//	(none)             to report                          new        digest, or also alone
//	(none)             below the lowest severity          open       no
//	open               first at or above it               new        digest, or also alone
//	open               first at or above Alone, or KEV    new        alone
//	new, reopened      found again                        unchanged  no
//	fixed, ignored     to report, reported before         reopened   digest, or also alone
//	fixed, ignored     to report, never reported          new        digest, or also alone
//	fixed, ignored     below the lowest severity          open       no
//	any                ignored                            ignored    no
func (f *Finding) found(t Thresholds, ignored string, now time.Time) news {
	f.Why = ignored
	if ignored != "" {
		f.enter(Ignored, now)
		return news{}
	}
	if f.State == Fixed || f.State == Ignored {
		f.Again = f.Again || f.Reported
		f.Reported, f.Alone = false, false
		f.enter(Open, now)
	}
	out := news{digest: !f.Reported && t.reports(f), alone: !f.Alone && t.alone(f)}
	if !out.digest && !out.alone {
		if f.State == "" {
			f.enter(Open, now)
		}
		return out
	}
	f.Generation++
	f.Reported, f.Alone = true, f.Alone || out.alone
	if f.Again {
		f.enter(Reopened, now)
	} else {
		f.enter(New, now)
	}
	return out
}

// gone moves f, which a match has not found, to Fixed.
func (f *Finding) gone(now time.Time) {
	f.Why = ""
	f.enter(Fixed, now)
}

// published moves f on when no alert about it waits for the bus any more.
func (f *Finding) published(now time.Time) {
	if f.State.waits() {
		f.enter(Open, now)
		f.Again = false
	}
}

func (f *Finding) enter(s State, now time.Time) {
	if f.State != s {
		f.State, f.Since = s, now.UTC()
	}
}
