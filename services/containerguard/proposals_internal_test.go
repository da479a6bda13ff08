package containerguard

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
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
