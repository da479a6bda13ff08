package ebpfengine

import (
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/conntrack"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// The actor behind this host's NAT is named if two conversations of the attack are its own: one may be of another container with the same target.
func TestActorBehindNATNeedsTwoConversations(t *testing.T) {
	testenv.Require(t, "netns", testenv.InOwnNetwork())
	_, err := exec.LookPath("iptables")
	testenv.Require(t, "iptables", err)
	const inside, other, outside = "127.0.0.1", "127.0.0.2", "127.0.0.9"
	target := netip.MustParseAddrPort("127.0.0.53:5300")
	for _, line := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "lo", "-d", target.Addr().String(), "-j", "SNAT", "--to-source", outside},
	} {
		out, err := exec.Command(line[0], line[1:]...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	flowOf := func(from string) detect.Flow {
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(target))
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		_, err = c.Write([]byte("x"))
		require.NoError(t, err)
		port := c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		return detect.Flow{Proto: 17, Source: netip.AddrPortFrom(netip.MustParseAddr(outside), port), Target: target}
	}
	known := origins{}
	ask := new(conntrack.Asker)
	named := func(began int, flow, earlier detect.Flow) (actor string, err error) {
		d := detect.Detection{Flow: flow, EarlierFlow: earlier, Began: time.Unix(int64(began), 0)}
		d.Name, d.Phase, d.Actor, d.Direction, d.Target.IP = detect.UDPFlood, detect.PhaseBegun, outside, detect.Outbound, target.Addr().String()
		err = known.name(&d, ask)
		ask = new(conntrack.Asker)
		return d.Actor, err
	}
	actor, err := named(1, flowOf(inside), flowOf(inside))
	require.NoError(t, err)
	require.Equal(t, inside, actor)
	actor, err = named(2, flowOf(inside), flowOf(other))
	require.ErrorIs(t, err, conntrack.ErrUnknown)
	require.Equal(t, outside, actor)
	actor, err = named(3, flowOf(inside), detect.Flow{})
	require.ErrorIs(t, err, conntrack.ErrUnknown)
	require.Equal(t, outside, actor)
	actor, err = named(2, flowOf(inside), flowOf(inside))
	require.NoError(t, err)
	require.Equal(t, outside, actor, "it is asked once for each attack")
	one, two := flowOf(inside), flowOf(inside)
	for err = nil; !errors.Is(err, conntrack.ErrBusy); {
		_, err = ask.Source(one.Proto, one.Source, one.Target)
	}
	actor, err = named(4, one, two)
	require.ErrorIs(t, err, conntrack.ErrBusy)
	require.Equal(t, outside, actor)
	actor, err = named(4, one, two)
	require.NoError(t, err)
	require.Equal(t, inside, actor, "it is asked at the next record if it may not be at the first")
}
