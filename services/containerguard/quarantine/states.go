package quarantine

import "slices"

// State is how far a ledger entry has come.
//
//	                     further order                            every order dropped, or container
//	                  .------------------.                        removed and replaced (replacement.go)
//	                  v                  |                       .-----------------------.
//	  Apply      +----------+  done  +------+                    |                       v
//	-----------> | Applying | -----> | Held | --.                |                  (no entry)
//	             +----------+        +------+   |   Release      |                       ^
//	                  |  ^ further order        |   or expiry    |                       |
//	      refused     |  |                      +--> +-----------+   restored            |
//	                  v  |                      |    | Releasing | ----------------------'
//	             +---------+                    |    +-----------+
//	             | Partial | -------------------'      |
//	             +---------+ <-------------------------'
//	                          release impossible
//
// From Applying an entry goes back to the state it had before an order that is dropped
// (pending.go). Held becomes Partial when applying it again is refused. The table
// transitions has every change of state; put logs one that is not in it.
type State string

// The states.
const (
	Applying  State = "applying"  // the newest order is being carried out, or waits for Docker
	Held      State = "held"      // the container is as ordered
	Partial   State = "partial"   // as far as possible: Docker refused a step for good
	Releasing State = "releasing" // what was taken is being given back

	absent State = "" // not in the ledger
)

// transitions lists, for each state, the other states that may follow.
func transitions() map[State][]State {
	return map[State][]State{
		absent:    {Applying},
		Applying:  {Held, Partial, Releasing, absent},
		Held:      {Applying, Partial, Releasing, absent},
		Partial:   {Applying, Releasing, absent},
		Releasing: {Applying, Partial, absent},
	}
}

// allowed reports whether the table has the change from one state to another.
func allowed(from, to State) bool { return from == to || slices.Contains(transitions()[from], to) }

// Step is one operation on a container. It is written to the ledger before it is done.
type Step string

// The steps of isolation, in order. Evidence comes after the disconnection, because
// listing the changed files of a large container takes seconds in which dockerd does
// not disconnect it; the container is frozen, so nothing changes meanwhile. Kill comes
// after the evidence, and is SIGKILL, never stop, which would thaw the container first.
const (
	StepIntent        Step = "intent"         // the order is in the ledger
	StepFreeze        Step = "freeze"         // Begun is recorded only after it is done
	StepCutEgress     Step = "cut-egress"     // it may answer, but not begin connections
	StepRestartPolicy Step = "restart-policy" // restart policy off
	StepDisconnect    Step = "disconnect"     // off every network
	StepHeld          Step = "held"           // verified and reported
	StepEvidence      Step = "evidence"
	StepKill          Step = "kill" // an order to kill alone does this instead of the freeze
)

// The steps of a release, in order. TCP connections that the frozen processes still
// have are destroyed before the first network is back: an attacker's session would go
// on otherwise. Where that is impossible the container is killed, and started at the end.
const (
	StepSever          Step = "sever"                  // destroy the old connections
	StepConnect        Step = "connect"                // back on every network
	StepRestoreEgress  Step = "restore-egress"         //
	StepRestoreRestart Step = "restore-restart-policy" //
	StepThaw           Step = "thaw"                   //
	StepStart          Step = "start"                  // if it was killed, or stopped by dockerd's restart
	StepReleased       Step = "released"               // reported; the entry is removed
)

// IsolationSteps lists the steps of isolation in order.
func IsolationSteps() []Step {
	return []Step{StepIntent, StepFreeze, StepCutEgress, StepRestartPolicy, StepDisconnect, StepHeld, StepEvidence, StepKill}
}

// ReleaseSteps lists the steps of a release in order.
func ReleaseSteps() []Step {
	return []Step{StepSever, StepConnect, StepRestoreEgress, StepRestoreRestart, StepThaw, StepStart, StepReleased}
}
