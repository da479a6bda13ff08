package containerguard

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/connection"
	"github.com/ironpost/ironpost/internal/folder"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// Whoever has an IPv6 /64 is one source of evidence, whatever address of it a message comes from.
func TestNetworkOfASenderIsOneSource(t *testing.T) {
	t.Parallel()
	source := func(peer string) string {
		return evidenceSource(&event.Alert{Module: bus.LogPipeline, Origin: &event.Origin{Transport: event.TransportSyslogTCP, Peer: peer}})
	}
	require.Equal(t, source("[2001:db8::1]:514"), source("[2001:db8::ffff:2]:40000"))
	require.NotEqual(t, source("[2001:db8::1]:514"), source("[2001:db8:0:1::1]:514"))
	require.Equal(t, source("192.0.2.1:1"), source("192.0.2.1:2"))
	require.NotEqual(t, source("192.0.2.1:1"), source("192.0.2.2:1"))
}

// Forged lines about a customer do not wait for the customer to visit the web server.
func TestOnlyLaterConnectionsToSshdProve(t *testing.T) {
	t.Parallel()
	for service, want := range map[string]bool{"sshd": true, "webserver": false, "": false} {
		e := &evaluator{connections: connection.NewWatcher(), now: time.Now()}
		s := step{address: netip.MustParseAddr("203.0.113.7")}
		e.limitBlock(&event.Alert{Module: bus.LogPipeline, Trust: event.TrustHost, Service: service, FirstSeen: e.now}, &s)
		require.True(t, s.proposed)
		require.Equal(t, want, s.query != nil, service)
	}
}

// A proposal whose answer failed is not tried again at once.
func TestProposalWaitsAfterAFailure(t *testing.T) {
	t.Parallel()
	ps, now := newProposals(), time.Now()
	p := &proposal{alert: &event.Alert{}, steps: map[string]bool{"s": true}, until: now.Add(time.Minute), query: &connection.Query{}, capped: &safety.BlockCandidate{}}
	ps.put(p, now)
	tried := func(at time.Time) bool {
		waiting, _ := ps.queries(at)
		require.Len(t, ps.capped(at), len(waiting))
		return len(waiting) == 1
	}
	require.True(t, tried(now))
	ps.pause(p, now.Add(time.Second))
	require.False(t, tried(now))
	require.True(t, tried(now.Add(time.Second)))
}

// An alert that is answered does not end the reason that the blocks could not be saved.
func TestUnsavedBlocksStayAReason(t *testing.T) {
	t.Parallel()
	files, err := folder.Open(t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, files.Close()) }()
	s := &Service{health: health.New(Name, "host"), log: logrus.NewEntry(logrus.New())}
	run := &runState{}
	run.guardState, _, err = safety.OpenState(files, safety.Limits{})
	require.NoError(t, err)
	run.corroboration, _, err = safety.OpenCorroboration(files)
	require.NoError(t, err)
	full := errors.New("disk full")
	run.blocksUnsaved.Store(&full)
	s.saveState(run)
	require.Contains(t, fmt.Sprint(s.health.Report(nil)), "disk full")
}
