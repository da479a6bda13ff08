package detect_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// A device that looks for others at each address of its network is told once in an hour, as what it is.
func TestDiscoveryIsNamed(t *testing.T) {
	t.Parallel()
	device := netip.MustParseAddr("192.168.7.20")
	for port, name := range map[int]string{137: "netbios", 427: "slp", 1900: "ssdp", 3702: "ws-discovery", 5353: "mdns", 5355: "llmnr", 8611: "bjnp"} {
		s := newStage(t, withEgress)
		for round := range 3 {
			for i := range 60 {
				s.udp(at(device, 40_000+round), at(host("192.168", i), port), 90)
				s.wait(time.Second)
			}
			s.wait(35 * time.Minute)
		}
		s.until(s.now)
		found := s.finish()
		require.Len(t, found, 2, "in 1 h 48 min")
		for _, f := range found {
			require.Equal(t, []string{detect.Discovery, name, "", "192.168.7.20"}, []string{f.Name, f.Method, f.Phase, f.Actor})
			require.EqualValues(t, 8, f.Counts["hosts"])
			require.EqualValues(t, port, f.Target.Port)
			require.NoError(t, f.Packet("web-1").Validate())
		}
	}
}

// A program that shares files tries another port of each of many hosts, also of this machine.
func TestPeerToPeerIsNamed(t *testing.T) {
	t.Parallel()
	for _, outbound := range []bool{true, false} {
		s := newStage(t, withEgress)
		for i := range 100 {
			peer := at(host("203.0", i), 2000+s.rnd.IntN(60_000))
			if outbound {
				s.sendUDP(at(home, 51_413), peer, 120)
			} else {
				s.udp(at(evil, 51_413), peer, 120)
			}
			s.wait(300 * time.Millisecond)
		}
		s.wait(5 * time.Second)
		s.until(s.now)
		found := s.finish()
		require.Len(t, found, 1, "outbound %v", outbound)
		require.Equal(t, []string{detect.PeerToPeer, "udp", ""}, []string{found[0].Name, found[0].Method, found[0].Phase})
		require.Equal(t, outbound, found[0].Direction == detect.Outbound)
	}
}

// Multicast, and a few devices, are no reason for a notice.
func TestOrdinaryDiscoveryIsSilent(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	device := netip.MustParseAddr("192.168.7.20")
	for i := range 200 {
		s.udp(at(device, 5353), at(netip.MustParseAddr("224.0.0.251"), 5353), 90)
		s.udp(at(device, 5353), at(host("192.168", i%5), 5353), 90)
		s.wait(time.Second)
	}
	require.Empty(t, s.finish())
}

// A forger of many sources gets a few notices in a window, and bounded memory.
func TestNoticesAreBounded(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	for i := range 1600 {
		s.udp(at(netip.AddrFrom4([4]byte{10, 9, byte(i / 2000), byte(i / 16)}), 5353), at(host("192.168", i%16), 5353), 90)
		s.wait(time.Millisecond / 2)
	}
	require.LessOrEqual(t, len(s.finish()), 16)
}
