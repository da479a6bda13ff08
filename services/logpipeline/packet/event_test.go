package packet_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/packet"
	"github.com/ironpost/ironpost/sigma"
)

var at = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func record(kind event.PacketKind) *event.Packet {
	return &event.Packet{ID: "p", Schema: 1, Time: at, Host: "web1", Interface: "eth0", Kind: kind, Sampling: 8, Lost: 2}
}

func all(sigma.Logsource) bool { return true }

// common adds to fields those that every event has.
func common(kind string, e packet.Event, fields map[string]any) map[string]any {
	fields["kind"], fields["host"], fields["interface"] = kind, "web1", "eth0"
	fields["sampling"], fields["lost"] = int64(8), int64(2)
	fields["message"], fields["raw"] = e.Message, e.Raw
	return fields
}

func TestDetectionBecomesOneEvent(t *testing.T) {
	t.Parallel()
	p := record(event.Detection)
	p.Detection = &event.TrafficFinding{
		Name: "port_scan", Method: "syn", Phase: "begun", Actor: "::ffff:192.0.2.66", Target: event.Endpoint{IP: "198.51.100.7", Port: 22},
		DurationMS: 1500, Counts: map[string]uint64{"ports": 3, "packets": math.MaxUint64}, Ports: []uint16{22, 80}, Hosts: []string{"198.51.100.7"},
		Lacking: []string{"egress"}, Direction: "outbound", NATAddress: "192.0.2.1", MayBeDecoy: true,
	}
	events := packet.Events(p, all)
	require.Len(t, events, 1)
	e := events[0]
	require.Contains(t, e.Message, "outbound port_scan (syn) by ::ffff:192.0.2.66 (behind NAT, as 192.0.2.1) (may be a decoy) against 198.51.100.7:22")
	require.Equal(t, sigma.Logsource{Category: "network", Product: "ironpost", Service: "detection"}, e.Logsource)
	require.Equal(t, common("detection", e, map[string]any{
		"name": "port_scan", "method": "syn", "phase": "begun", "direction": "outbound", "nat_address": "192.0.2.1", "may_be_decoy": true,
		"actor": "::ffff:192.0.2.66", "src_ip": "192.0.2.66",
		"dst_ip": "198.51.100.7", "dst_port": int64(22), "duration_ms": int64(1500),
		"counts": map[string]any{"ports": int64(3), "packets": int64(math.MaxInt64)},
		"ports":  []any{int64(22), int64(80)}, "hosts": []any{"198.51.100.7"}, "lacking": []any{"egress"},
	}), e.Fields)
	require.Equal(t, at.Add(-1500*time.Millisecond), e.Began)
	require.Equal(t, "192.0.2.66", e.Source.Addr().String())
	require.Equal(t, "198.51.100.7:22", e.Target.String())
	raw, err := json.Marshal(p.Detection)
	require.NoError(t, err)
	require.JSONEq(t, string(raw), e.Raw)
}

// An actor that is a word and not an address must never become a source address.
func TestForgedFloodHasNoSource(t *testing.T) {
	t.Parallel()
	for _, actor := range []string{"spoofed", "distributed", ""} {
		p := record(event.Detection)
		p.Detection = &event.TrafficFinding{Name: "syn_flood", Actor: actor, Target: event.Endpoint{IP: "198.51.100.7"}}
		e := packet.Events(p, all)[0]
		require.False(t, e.Source.Addr().IsValid())
		require.NotContains(t, e.Fields, "src_ip")
		require.NotContains(t, e.Fields, "dst_port")
	}
}

func TestEntityIsActorAndTarget(t *testing.T) {
	t.Parallel()
	name, method := "port_scan", "syn"
	entity := func(actor, target string, port uint16) string {
		p := record(event.Detection)
		p.Detection = &event.TrafficFinding{Name: name, Method: method, Actor: actor, Target: event.Endpoint{IP: target, Port: port}}
		return packet.Events(p, all)[0].Entity
	}
	same := entity("192.0.2.66", "198.51.100.7", 22)
	require.Equal(t, same, entity("192.0.2.66", "198.51.100.7", 80), "the port may change during a scan")
	require.NotEqual(t, same, entity("192.0.2.66", "198.51.100.8", 22))
	require.NotEqual(t, same, entity("192.0.2.67", "198.51.100.7", 22))

	name = "tcp_flood"
	ack := entity("spoofed", "198.51.100.7", 443)
	require.NotEqual(t, ack, entity("spoofed", "198.51.100.7", 8080), "a flood of another port is another attack")
	method = "rst"
	require.NotEqual(t, ack, entity("spoofed", "198.51.100.7", 443))
}

func TestTargetMayBeNetwork(t *testing.T) {
	t.Parallel()
	p := record(event.Detection)
	p.Detection = &event.TrafficFinding{Name: "udp_flood", Actor: "spoofed", Target: event.Endpoint{IP: "198.51.100.0/24", Port: 53}}
	e := packet.Events(p, all)[0]
	require.False(t, e.Target.IsValid())
	require.Equal(t, "198.51.100.0/24", e.Network.String())
	require.Equal(t, "198.51.100.0/24", e.Fields["dst_network"])
	require.EqualValues(t, 53, e.Fields["dst_port"])
	require.NotContains(t, e.Fields, "dst_ip")
	require.Contains(t, e.Entity, "198.51.100.0/24")
}

func TestWindowFieldsAreCounts(t *testing.T) {
	t.Parallel()
	p := record(event.Window)
	p.Window = &event.TrafficWindow{DurationMS: 1000, Packets: 5, Bytes: 300, Dropped: 1, Classes: map[string]uint64{"tcp_syn": 4}, Talkers: []event.Talker{{IP: "192.0.2.66"}}}
	e := packet.Events(p, all)[0]
	require.Equal(t, "window", e.Logsource.Service)
	require.Equal(t, common("window", e, map[string]any{
		"packets": int64(5), "bytes": int64(300), "dropped": int64(1), "duration_ms": int64(1000),
		"classes": map[string]any{"tcp_syn": int64(4)}, "talkers": []any{"192.0.2.66"},
	}), e.Fields)
}

func TestEachFlowBecomesAnEvent(t *testing.T) {
	t.Parallel()
	p := record(event.Flows)
	p.Flows = []event.Flow{
		{Source: event.Endpoint{IP: "192.0.2.66", Port: 40000}, Target: event.Endpoint{IP: "198.51.100.7", Port: 22}, Protocol: "tcp", Flags: "S", Bytes: 60},
		{Source: event.Endpoint{IP: "192.0.2.67"}, Target: event.Endpoint{IP: "198.51.100.7"}, Protocol: "icmp", Bytes: 84},
	}
	events := packet.Events(p, all)
	require.Len(t, events, 2)
	require.Equal(t, common("flows", events[0], map[string]any{
		"protocol": "tcp", "flags": "S", "bytes": int64(60),
		"src_ip": "192.0.2.66", "src_port": int64(40000), "dst_ip": "198.51.100.7", "dst_port": int64(22),
	}), events[0].Fields)
	require.Equal(t, []int{0, 1}, []int{events[0].Index, events[1].Index})
	require.Equal(t, at, events[1].Began)
	require.Empty(t, packet.Events(p, func(l sigma.Logsource) bool { return l.Service != packet.Flow }), "unwanted events are skipped")
}

func TestOnlyBlockedSingleAddressHasSource(t *testing.T) {
	t.Parallel()
	p := record(event.Blocked)
	p.Blocked = []event.BlockedTraffic{
		{Prefix: "192.0.2.66/32", Reason: "alert", Packets: 7, Bytes: 420}, {Prefix: "192.0.2.0/24"}, {Prefix: "2001:db8::1"}, {Prefix: "invalid"},
	}
	events := packet.Events(p, all)
	require.Equal(t, common("blocked", events[0], map[string]any{
		"prefix": "192.0.2.66/32", "reason": "alert", "packets": int64(7), "bytes": int64(420), "src_ip": "192.0.2.66",
	}), events[0].Fields)
	require.NotContains(t, events[1].Fields, "src_ip", "a network has no address")
	require.Equal(t, "2001:db8::1", events[2].Fields["src_ip"])
	require.NotContains(t, events[3].Fields, "src_ip")
}

// FuzzEvents reads any valid record.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(`{"id":"a","schema":1,"time":"2026-11-23T10:00:00Z","host":"h","interface":"i","kind":"detection","detection":{"duration_ms":-9223372036854775808}}`))
	f.Add([]byte(`{"id":"a","schema":1,"time":"2026-11-23T10:00:00Z","host":"h","interface":"i","kind":"blocked","blocked":[{"prefix":"::/0"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var p event.Packet
		if event.Decode(raw, &p) != nil {
			return
		}
		for _, e := range packet.Events(&p, all) {
			require.False(t, e.Began.After(e.Time))
			require.NotEmpty(t, e.Entity)
			require.Contains(t, e.Fields, "kind")
		}
	})
}
