package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// scanCapture writes a capture in which one source scans ports of a host.
func scanCapture(t testing.TB, ports int) string {
	t.Helper()
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	require.NoError(t, w.WriteFileHeader(65535, layers.LinkTypeEthernet))
	for i := range ports {
		frame := syn(t, uint16(1+i))
		require.NoError(t, w.WritePacket(gopacket.CaptureInfo{
			Timestamp: began.Add(time.Duration(i) * time.Millisecond), CaptureLength: len(frame), Length: len(frame),
		}, frame))
	}
	path := filepath.Join(t.TempDir(), "scan.pcap")
	require.NoError(t, os.WriteFile(path, file.Bytes(), 0o600))
	return path
}

func syn(t testing.TB, port uint16) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IPv4(203, 0, 113, 66), DstIP: net.IPv4(198, 51, 100, 5)}
	tcp := &layers.TCP{SrcPort: 40_125, DstPort: layers.TCPPort(port), SYN: true, Window: 1024}
	require.NoError(t, tcp.SetNetworkLayerForChecksum(ip))
	buffer := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}, ip, tcp))
	return buffer.Bytes()
}

func needRoot(t testing.TB) {
	t.Helper()
	var err error
	if os.Geteuid() != 0 {
		err = fmt.Errorf("user %d is not root", os.Geteuid())
	}
	testenv.Require(t, "root", err)
}

func TestReplayCapture(t *testing.T) {
	t.Parallel()
	needRoot(t)
	capture := scanCapture(t, 300)
	got := call(t, "replay", "--utc", capture)
	require.Equal(t, exitFindings, got.code, got.err)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	require.Len(t, lines, 2)
	for _, word := range []string{"2026-11-23T08:00:00Z", "port_scan", "syn", "203.0.113.66", "198.51.100.5", "probes 300"} {
		require.Contains(t, lines[1], word)
	}
	require.Contains(t, got.err, "300 packets over 299ms, 1 attacks")

	got = call(t, "replay", "--json", capture)
	require.Equal(t, exitFindings, got.code, got.err)
	phases := map[string]int{}
	for line := range strings.SplitSeq(strings.TrimSpace(got.out), "\n") {
		var p event.Packet
		require.NoError(t, json.Unmarshal([]byte(line), &p))
		require.NoError(t, p.Validate())
		require.Equal(t, "scan.pcap", p.Interface)
		phases[p.Detection.Phase]++
	}
	require.Equal(t, map[string]int{"begun": 1, "over": 1}, phases)

	got = call(t, "replay", scanCapture(t, 3))
	require.Equal(t, exitOK, got.code, got.err)
	require.Empty(t, got.out)

	config := filepath.Join(t.TempDir(), "ironpost.toml")
	require.NoError(t, os.WriteFile(config, []byte("[ebpf.detect]\nscan_ports = 40\n"), 0o600))
	require.Equal(t, exitFindings, call(t, "replay", capture, "-c", config).code)
	require.Equal(t, exitOK, call(t, "replay", scanCapture(t, 30), "-c", config).code, "the thresholds are those of the configuration")
}

// A capture that ends within a packet is analysed up to there, with a warning.
func TestReplayDamagedCapture(t *testing.T) {
	t.Parallel()
	needRoot(t)
	path := scanCapture(t, 100)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, raw[:len(raw)-7], 0o600))
	got := call(t, "replay", path)
	require.Equal(t, exitFindings, got.code, got.err)
	require.Contains(t, got.err, "99 packets")
	require.Contains(t, got.err, "ends early")

	require.NoError(t, os.WriteFile(path, raw[:8], 0o600))
	got = call(t, "replay", path)
	require.Equal(t, exitError, got.code)
	require.Contains(t, got.err, "not a pcap")
}

func TestReplayGzip(t *testing.T) {
	t.Parallel()
	pack := func(name string, raw []byte) string {
		var file bytes.Buffer
		w := gzip.NewWriter(&file)
		_, err := w.Write(raw)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, file.Bytes(), 0o600))
		return path
	}
	got := call(t, "replay", pack("quiet.log.gz", []byte("nothing\nto see\n")))
	require.Equal(t, exitOK, got.code, got.err)
	require.Contains(t, got.err, "2 lines, 0 alerts")
	got = call(t, "replay", pack("short.gz", []byte("x")))
	require.Equal(t, exitOK, got.code, got.err)
	require.Contains(t, got.err, "1 lines")

	damaged := filepath.Join(t.TempDir(), "damaged.gz")
	require.NoError(t, os.WriteFile(damaged, []byte{0x1f, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0o600))
	require.Equal(t, exitError, call(t, "replay", damaged).code)

	needRoot(t)
	raw, err := os.ReadFile(scanCapture(t, 100))
	require.NoError(t, err)
	got = call(t, "replay", pack("scan.pcap.gz", raw))
	require.Equal(t, exitFindings, got.code, got.err)
	require.Contains(t, got.out, "port_scan")
}

func TestProgressBarIsForTerminalsOnly(t *testing.T) {
	t.Parallel()
	require.Equal(t, "[..............................]   0 %", progressBar(0, 100))
	require.Equal(t, "[###############...............]  50 %", progressBar(50, 100))
	require.Equal(t, "[##############################] 100 %", progressBar(200, 100))
	var screen bytes.Buffer
	m := &progress{size: 100, w: &screen}
	m.show("x", began)
	m.show("x", began.Add(time.Hour))
	m.clear()
	require.Empty(t, screen.String(), "the output is no terminal")
}
