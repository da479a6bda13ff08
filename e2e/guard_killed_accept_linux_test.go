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

// The daemon is killed at every step of an isolation and of a release, and at random
// times, and finishes both after a restart.
func TestAcceptGuardKilled(t *testing.T) {
	f := newGuardSetup(t, wideCaps, noPolicies)
	f.engine.Network(t, "front", "10.90.0.0/24")
	at := map[string]int{}
	for i := range 2 * (len(quarantine.IsolationSteps()) + len(quarantine.ReleaseSteps())) {
		id := f.engine.Run(t, composeContainer())
		f.eventually(func() bool { return f.guardKnows(id) })
		before := f.inspect(id)
		steps := quarantine.IsolationSteps()
		at["hold: "+f.killDuring(id, string(steps[i%len(steps)]), containerguard.VerbIsolate, containerguard.IsolateRequest{Container: id, Force: true})]++
		f.start()
		f.finishIsolation(id)
		require.True(t, isolated(f.inspect(id)))
		steps = quarantine.ReleaseSteps()
		at["release: "+f.killDuring(id, string(steps[i%len(steps)]), containerguard.VerbRelease, containerguard.ReleaseRequest{Container: id})]++
		f.start()
		f.reconnect()
		if _, still := f.quarantined()[id]; still {
			f.release(id)
		}
		require.True(t, equalContainers(t, withoutEndpointIDs(before), withoutEndpointIDs(f.inspect(id))))
		f.engine.Remove(t, id)
	}
	t.Logf("killed and finished: %v", at)
}

// finishIsolation waits until a container is isolated, and requests it again if the order
// was lost before it reached the ledger.
func (f *guardSetup) finishIsolation(id string) {
	f.t.Helper()
	f.reconnect()
	f.eventually(func() bool { return f.guardSeesDocker() })
	if _, held := f.quarantined()[id]; !held {
		f.isolate(id)
	}
	f.eventually(func() bool { return f.quarantined()[id].State == "held" })
}

// killDuring sends a request and kills the daemon once the ledger entry reaches step, or
// after a random time of at most 300 ms. It returns the step of the entry after the kill.
func (f *guardSetup) killDuring(id, step, verb string, request any) string {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		var reply any
		_ = f.operator.Operate(ctx, bus.ContainerGuard, testHost, verb, request, &reply) // the daemon is killed before it replies
	}()
	for deadline := time.Now().Add(rand.N(300 * time.Millisecond)); f.ledgerStep(id) != step && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	f.stop(syscall.SIGKILL)
	cancel()
	<-done
	return f.ledgerStep(id)
}

// reconnect opens the operator's connection to a daemon that was started again.
func (f *guardSetup) reconnect() {
	f.t.Helper()
	_ = f.operator.Close(f.t.Context())
	var err error
	f.operator, err = bus.DialSocket(f.t.Context(), f.path("bus.sock"))
	require.NoError(f.t, err)
}

func (f *guardSetup) ledgerStep(id string) string {
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
