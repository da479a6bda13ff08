package replay_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/capture"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
	"github.com/ironpost/ironpost/services/ebpfengine/detect/detecttest"
	"github.com/ironpost/ironpost/services/ebpfengine/replay"
)

// requireRoot skips the test if the program cannot be loaded.
func requireRoot(t testing.TB) {
	t.Helper()
	var err error
	if os.Geteuid() != 0 {
		err = fmt.Errorf("user %d is not root", os.Geteuid())
	}
	testenv.Require(t, "root", err)
}

// play replays a capture of the data folder.
func play(t testing.TB, name string) ([]detect.Detection, replay.Summary) {
	t.Helper()
	requireRoot(t)
	file, err := os.Open(testenv.Data(t, "pcap/"+name))
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	return replayFile(t, name, file)
}

// replayFile replays a capture.
func replayFile(t testing.TB, name string, file io.Reader) ([]detect.Detection, replay.Summary) {
	t.Helper()
	r, err := capture.NewReader(file)
	require.NoError(t, err)
	var found []detect.Detection
	summary, err := replay.Run(t.Context(), r, replay.Options{
		Interface: name, Detect: detect.DefaultConfig(), OnDetection: func(f detect.Detection) { found = append(found, f) },
	})
	require.NoError(t, err)
	return found, summary
}

// In real captures the kernel's program finds every attack, with kind, actor and target,
// nothing else, and the same in a second replay.
func TestRealCaptures(t *testing.T) {
	t.Parallel()
	for name, want := range detecttest.Captures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, summary := play(t, name)
			require.Equal(t, summary.Capture.Frames, summary.Packets, "every frame was counted")
			detecttest.Require(t, want, found)
			again, _ := play(t, name)
			require.Equal(t, found, again)
		})
	}
}

// A server that accepts and then aborts a connection, as for a health check, sends RST with
// ACK; the answer to a forged ACK has no ACK (RFC 9293, section 3.10.7).
func TestAbortedConnectionsAreNotForged(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	found, _ := replayFile(t, "health checks", handshakes(t, 1, layers.TCP{RST: true, ACK: true}))
	require.Empty(t, found)
	found, _ = replayFile(t, "forged", handshakes(t, 12345, layers.TCP{RST: true}))
	detecttest.Require(t, &detecttest.Attack{
		Name: detect.SYNFlood, Actor: "203.0.113.66", Target: event.Endpoint{IP: "198.51.100.5", Port: 443},
	}, found)
}

// handshakes returns a capture of 200 connections a second for ten seconds, each ended by
// the server at once. The client acknowledges a sequence number; right is 1.
func handshakes(t testing.TB, acknowledges uint32, end layers.TCP) io.Reader {
	t.Helper()
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	require.NoError(t, w.WriteFileHeader(65535, layers.LinkTypeEthernet))
	client, server := net.IPv4(203, 0, 113, 66), net.IPv4(198, 51, 100, 5)
	at := time.Unix(1_700_000_000, 0)
	write := func(src, dst net.IP, tcp layers.TCP) {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src, DstIP: dst}
		eth := &layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}
		buffer := gopacket.NewSerializeBuffer()
		require.NoError(t, gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, eth, ip, &tcp))
		frame := buffer.Bytes()
		require.NoError(t, w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(frame), Length: len(frame)}, frame))
		at = at.Add(time.Millisecond)
	}
	for i := range 2000 {
		from := layers.TCPPort(20_000 + i)
		end.SrcPort, end.DstPort = 443, from
		write(client, server, layers.TCP{SrcPort: from, DstPort: 443, SYN: true})
		write(server, client, layers.TCP{SrcPort: 443, DstPort: from, SYN: true, ACK: true})
		write(client, server, layers.TCP{SrcPort: from, DstPort: 443, ACK: true, Ack: acknowledges})
		write(server, client, end)
		at = at.Add(time.Millisecond)
	}
	return &file
}
