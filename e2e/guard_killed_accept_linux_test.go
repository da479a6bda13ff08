//go:build accept && linux

package e2e_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// TestAcceptGuardKilled: the daemon is killed at every step of a quarantine and of
// a release, and whenever else, and finishes both.
func TestAcceptGuardKilled(t *testing.T) {
	f := newField(t, wideCaps, noPolicies)
	f.engine.Network(t, "front", "10.90.0.0/24")
	at := map[string]int{}
	for i := range 2 * (len(quarantine.IsolationSteps()) + len(quarantine.ReleaseSteps())) {
		id := f.engine.Run(t, composed())
		f.eventually(func() bool { return f.knows(id) })
		before := f.inspect(id)
		steps := quarantine.IsolationSteps()
		at["hold: "+f.killDuring(id, string(steps[i%len(steps)]), containerguard.VerbIsolate, containerguard.IsolateRequest{Container: id, Force: true})]++
		f.start()
		f.finish(id)
		require.True(t, isolated(f.inspect(id)))
		steps = quarantine.ReleaseSteps()
		at["release: "+f.killDuring(id, string(steps[i%len(steps)]), containerguard.VerbRelease, containerguard.ReleaseRequest{Container: id})]++
		f.start()
		f.reconnect()
		if _, still := f.held()[id]; still {
			f.release(id)
		}
		require.True(t, assertEqual(t, asBefore(before), asBefore(f.inspect(id))))
		f.engine.Remove(t, id)
	}
	t.Logf("killed and finished: %v", at)
}

// finish waits until a container is held, asking for it again if the order died
// before it reached the ledger.
func (f *field) finish(id string) {
	f.t.Helper()
	f.reconnect()
	f.eventually(func() bool { return f.known() })
	if _, held := f.held()[id]; !held {
		f.isolate(id)
	}
	f.eventually(func() bool { return f.held()[id].State == "held" })
}

// killDuring asks for something and kills the daemon once the ledger names a step,
// or, where it never does, a moment later. It returns the step the ledger names then.
func (f *field) killDuring(id, step, verb string, request any) string {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		var reply any
		_ = f.operator.Request(ctx, bus.VerbSubject(bus.ContainerGuard, stageHost, verb), request, &reply) // who answers is killed
	}()
	for deadline := time.Now().Add(rand.N(300 * time.Millisecond)); f.ledgerStep(id) != step && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	f.stop(syscall.SIGKILL)
	cancel()
	<-done
	return f.ledgerStep(id)
}

// reconnect makes the operator's connection to a daemon that was started anew.
func (f *field) reconnect() {
	f.t.Helper()
	_ = f.operator.Close(f.t.Context())
	var err error
	f.operator, err = bus.DialSocket(f.t.Context(), f.path("bus.sock"))
	require.NoError(f.t, err)
}

func (f *field) ledgerStep(id string) string {
	found, _ := filepath.Glob(f.path("data/*/quarantine/" + id + ".json"))
	if len(found) == 0 {
		return ""
	}
	raw, err := os.ReadFile(found[0])
	var e quarantine.Entry
	if err != nil || json.Unmarshal(raw, &e) != nil {
		return ""
	}
	return string(e.Step)
}
