package logpipeline

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

// The first element that matches a source counts, and what it does not set is that of the section.
func TestSettingsOfAnInput(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	c.Timezone, c.TrustedProxies = "UTC", []string{"10.0.0.1"}
	c.Input = []Input{
		{Path: "/var/log/app/*.log", Format: "access", Timezone: "Europe/Berlin", Trust: "host"},
		{Path: "/var/log/app/a.log", Format: "json"},
		{Listen: "syslog_udp", Peers: []string{"192.0.2.0/24", "2001:db8::/32"}, TrustedProxies: []string{}, Trust: "peer"},
		{Listen: "syslog_udp", Timezone: "auto"},
		{Container: "shop-*", Format: "json"},
		{Unit: "nginx.service", Timezone: "local"},
	}
	require.Empty(t, c.Validate())
	in := newInputs(c, nil)
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}

	app := in.ofFile("/var/log/app/a.log")
	require.Equal(t, "access", app.parse.Format)
	require.Equal(t, "Europe/Berlin", app.parse.Location.String())
	require.Equal(t, proxies, app.parse.TrustedProxies)
	require.Equal(t, event.TrustHost, app.trustOf(event.TrustUnproven))
	require.Same(t, &in.other, in.ofFile("/var/log/syslog"))
	require.Equal(t, "UTC", in.other.parse.Location.String())
	require.Equal(t, event.TrustUnproven, in.other.trustOf(event.TrustUnproven))

	for _, peer := range []string{"192.0.2.9:514", "[::ffff:192.0.2.9]:514", "[2001:db8::1]:514"} {
		known := in.ofPeer(SourceSyslogUDP, peer)
		require.Equal(t, event.TrustPeer, known.trustOf(event.TrustUnproven), peer)
		require.Empty(t, known.parse.TrustedProxies)
	}
	unknown := in.ofPeer(SourceSyslogUDP, "198.51.100.1:514")
	require.Nil(t, unknown.parse.Location)
	require.Same(t, &in.other, in.ofPeer(SourceSyslogTCP, "192.0.2.9:514"))
	require.Equal(t, "json", in.ofContainer("shop-web").parse.Format)
	require.Same(t, &in.other, in.ofContainer("db"))
	require.Equal(t, "nginx.service", in.ofUnit("nginx.service").of.Unit)
}
