package daemon

import "time"

// state is what the runner of one module is doing. The transitions, with the function
// of runner.go that makes each:
//
//	starting ── Started is closed (snapshot) ──────► running
//	starting, running ── Run failed (fail) ────────► failed
//	starting, running ── new configuration (run) ──► starting
//	failed ── backoff over, rebuilt (supervise) ───► starting
//	failed ── rebuild failed (fail) ───────────────► failed
//	any ── asked to stop (stopWithin) ─────────────► stopping
//	stopping ── supervise returned ────────────────► stopped
type state string

const (
	starting state = "starting" // the instance is built or its Run was called; it does not work yet
	running  state = "running"  // Run was called and the module works
	failed   state = "failed"   // Run or the constructor failed; the next instance waits for its backoff
	stopping state = "stopping" // the module was asked to stop
	stopped  state = "stopped"  // the last Run has returned
)

// snapshot is what a runner knows of its module at one moment.
type snapshot struct {
	state    state
	module   Module // the newest instance; nil until built
	builds   int    // number of instances so far
	inRun    bool   // Run of the newest instance was called, or is about to be, and has not returned
	failure  string // why the last run or build failed; "" if none did
	failedAt time.Time
	restarts uint64
}

// started reports whether the instance says that it works; one that is no Starter
// works at once.
func (s snapshot) started() bool {
	starter, ok := s.module.(Starter)
	if !ok {
		return true
	}
	select {
	case <-starter.Started():
		return true
	default:
		return false
	}
}
