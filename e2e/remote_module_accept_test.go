//go:build accept

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nkeys" //nolint:depguard // the test is a module on another machine
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// actionPublisher publishes actions over TLS with a key of its own, like a container guard
// on another machine.
type actionPublisher struct {
	actions *bus.Publisher

	stored  atomic.Int64 // actions that Publish has stored
	stopped atomic.Bool
}

const testHost = "stage"

// remoteModules are modules on other machines, by the name of their key.
type remoteModules struct {
	s       *instance
	ca      *testenv.Authority
	address string
	seeds   map[string][]byte
}

// listen configures the native listener and a key for each module, named as in
// "container-guard.stage". Call it before start.
func (s *instance) listen(names ...string) *remoteModules {
	s.t.Helper()
	r := &remoteModules{s: s, ca: testenv.NewAuthority(s.t), address: testenv.FreeAddr(s.t), seeds: map[string][]byte{}}
	cert, key := r.ca.Server()
	s.replace("[bus]", fmt.Sprintf("[bus]\nlisten = %q\ntls_ca = %q\ntls_cert = %q\ntls_key = %q", r.address, r.ca.Path, cert, key))
	require.NoError(s.t, os.MkdirAll(s.path("data/keys"), 0o700))
	for _, name := range names {
		pair, err := nkeys.CreateUser()
		require.NoError(s.t, err)
		public, err := pair.PublicKey()
		require.NoError(s.t, err)
		r.seeds[name], err = pair.Seed()
		require.NoError(s.t, err)
		s.write("data/keys/"+name+".nk", public+"\n")
	}
	return r
}

// connect connects as the module called name.
func (r *remoteModules) connect(name string) *bus.Conn {
	r.s.t.Helper()
	module, host, _ := strings.Cut(name, ".")
	conn, err := bus.Connect(r.s.t.Context(), bus.Options{
		Module: module, Host: host, Seed: r.seeds[name], URL: "tls://" + r.address, TLS: r.ca.TLS(),
	})
	require.NoError(r.s.t, err)
	r.s.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(r.s.t.Context())) })
	return conn
}

const remoteGuard = bus.ContainerGuard + "." + testHost

// newActionPublisher connects as the guard of the daemon's host.
func (r *remoteModules) newActionPublisher() *actionPublisher {
	r.s.t.Helper()
	g := &actionPublisher{}
	var err error
	g.actions, err = r.connect(remoteGuard).Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: bus.ContainerGuard, Host: testHost})
	require.NoError(r.s.t, err)
	return g
}

func actionID(n int) string { return fmt.Sprintf("action-%05d", n) }

// publish publishes actions one after the other, each once the one before is stored, until
// there are most, or stopped is set.
func (g *actionPublisher) publish(ctx context.Context, most int, pause time.Duration) error {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for i := 0; i < most && !g.stopped.Load(); i++ {
		<-ticker.C
		err := g.actions.Publish(ctx, &event.Action{
			ID: actionID(i), Schema: event.Schema, Time: time.Now().UTC(), Module: bus.ContainerGuard, Host: testHost,
			Kind: "notify", Target: "web", Phase: event.Done,
		})
		if err != nil {
			return err
		}
		g.stored.Store(int64(i) + 1)
	}
	return nil
}

// storedCount returns how many actions are stored.
func (g *actionPublisher) storedCount() int { return int(g.stored.Load()) }

// audited counts the records of each action in the files of the audit trail.
func (s *instance) audited() map[string]int {
	s.t.Helper()
	files, err := filepath.Glob(s.path("data/audit/audit*.log"))
	require.NoError(s.t, err)
	ids := map[string]int{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(s.t, err)
		for line := range bytes.Lines(text) {
			var record struct{ ID string }
			if json.Unmarshal(line, &record) == nil && record.ID != "" { // the last line may be half-written
				ids[record.ID]++
			}
		}
	}
	return ids
}

// requireAuditedOnce compares the trail with the first n actions.
func (s *instance) requireAuditedOnce(n int) {
	s.t.Helper()
	ids := s.audited()
	missing, doubled := 0, 0
	for i := range n {
		switch ids[actionID(i)] {
		case 0:
			missing++
		case 1:
		default:
			doubled++
		}
	}
	s.t.Logf("actions stored %d, audited %d: missing %d (bar 0), doubled %d (bar 0)", n, len(ids), missing, doubled)
	require.Zero(s.t, missing)
	require.Zero(s.t, doubled)
}

// requireIntactTrail verifies the chain with the operator's command.
func (s *instance) requireIntactTrail() {
	s.t.Helper()
	var report struct {
		Intact   bool
		Compared bool
		Records  uint64
	}
	require.NoError(s.t, json.Unmarshal([]byte(s.ironpost("audit", "verify", "--json")), &report))
	s.t.Logf("chain of %d records intact: %v, compared with the kept head: %v", report.Records, report.Intact, report.Compared)
	require.True(s.t, report.Intact && report.Compared)
}
