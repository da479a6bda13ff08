package containerguard

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/connection"
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
		require.Equal(t, want, s.provable, service)
	}
}
