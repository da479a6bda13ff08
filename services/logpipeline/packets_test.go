package logpipeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// packetPublisher publishes as the eBPF engine does.
type packetPublisher struct {
	t    *testing.T
	host string
	pub  *bus.Publisher
	n    int
}

func newPacketPublisher(t *testing.T, r *rig) *packetPublisher {
	t.Helper()
	pub, err := r.bus.Conn(bus.EBPFEngine).Publisher(bus.PublisherConfig{Stream: bus.Packets, Module: bus.EBPFEngine, Host: r.bus.Host()})
	require.NoError(t, err)
	return &packetPublisher{t: t, host: r.bus.Host(), pub: pub}
}

// detection returns a detection as package detect makes it.
func (e *packetPublisher) detection(name, actor, target string) *event.Packet {
	e.n++
	return &event.Packet{
		ID: fmt.Sprintf("%s-%d", name, e.n), Schema: event.Schema, TraceID: fmt.Sprintf("%032x", e.n), Time: time.Now().UTC(),
		Host: e.host, Interface: "eth0", Kind: event.Detection, Sampling: 1,
		Detection: &event.TrafficFinding{
			Name: name, Method: "syn", Phase: "begun", Actor: actor, Target: event.Endpoint{IP: target, Port: 443}, DurationMS: 3000,
			Counts: map[string]uint64{"ports": 40, "probes": 41, "announcement": 1}, Ports: []uint16{22, 80},
		},
	}
}

func (e *packetPublisher) publish(recs ...event.Record) {
	e.t.Helper()
	require.NoError(e.t, e.pub.Publish(e.t.Context(), recs...))
}

func newPacketRig(t *testing.T, options ...bustest.Option) (*rig, *packetPublisher) {
	t.Helper()
	r := newRig(t, options...)
	r.cfg.RulesPath, r.cfg.ShippedRules = "", true
	return r, newPacketPublisher(t, r)
}

// waitPackets waits until n packet records were processed and acknowledged.
func (r *rig) waitPackets(s *running, n uint64) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return s.count("packets") >= n && r.unacked() == 0 }, patience, tick)
}

// unacked returns how many packet records the log pipeline has not acknowledged.
func (r *rig) unacked() uint64 {
	r.t.Helper()
	states, err := r.admin.StreamStates(r.t.Context(), r.bus.Durables())
	require.NoError(r.t, err)
	for _, s := range states {
		for _, d := range s.Durables {
			if s.Name == bus.Packets && d.Present {
				return d.Pending + uint64(d.AckPending)
			}
		}
	}
	require.FailNow(r.t, "the stream of packets has no durable")
	return 0
}

func TestDetectionBecomesAlert(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	p := engine.detection("port_scan", "192.0.2.66", "198.51.100.7")
	p.Lost = 17
	engine.publish(p)
	a := r.wait(1)[0]
	require.Equal(t, "Port Scan", a.Title)
	require.Equal(t, event.Medium, a.Severity)
	require.Contains(t, a.Rule.Tags, "attack.t1046")
	require.Equal(t, &event.Endpoint{IP: "192.0.2.66"}, a.Source)
	require.Equal(t, &event.Endpoint{IP: "198.51.100.7", Port: 443}, a.Target)
	require.Equal(t, p.TraceID, a.TraceID, "the alert has the trace id of the packet record")
	require.Equal(t, logpipeline.Name, a.Module)
	require.Equal(t, p.Time, a.LastSeen)
	require.Equal(t, p.Time.Add(-3*time.Second), a.FirstSeen)
	require.Equal(t, "port_scan (syn) by 192.0.2.66 against 198.51.100.7:443 begun for 3s: announcement 1, ports 40, probes 41", a.Evidence[0])
	require.JSONEq(t, `{"name":"port_scan","method":"syn","phase":"begun","actor":"192.0.2.66","target":{"ip":"198.51.100.7","port":443},
		"duration_ms":3000,"counts":{"ports":40,"probes":41,"announcement":1},"ports":[22,80]}`, a.Evidence[1])
	require.Equal(t, []event.Incomplete{{Counter: "packets_lost", Amount: 17}}, a.Incomplete)
	r.waitPackets(s, 1)
}

// Detections that differ in actor or target are separate alerts; the same pair again is only counted.
func TestSecondTargetIsASeparateAlert(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	engine.publish(
		engine.detection("port_scan", "192.0.2.66", "198.51.100.7"), engine.detection("port_scan", "192.0.2.66", "198.51.100.8"),
		engine.detection("port_scan", "192.0.2.67", "198.51.100.7"), engine.detection("port_scan", "192.0.2.66", "198.51.100.7"),
		engine.detection("syn_flood", "spoofed", "198.51.100.7"), engine.detection("syn_flood", "spoofed", "198.51.100.8"),
	)
	r.waitPackets(s, 6)
	alerts := r.alerts()
	require.Len(t, alerts, 5)
	require.EqualValues(t, 1, s.count("suppressed"), "the scan that is told again is counted in the series of the first alert")
	for _, a := range alerts[3:] {
		require.Nil(t, a.Source, "a forged source must not be blocked")
		require.NotNil(t, a.Target)
	}
}

// A detection without a rule, windows and samples raise no alert and are acknowledged.
func TestTrafficWithoutARuleRaisesNothing(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	window, flows, over := engine.detection("", "", ""), engine.detection("", "", ""), engine.detection("port_scan", "192.0.2.66", "198.51.100.7")
	window.Kind, window.Detection, window.Window = event.Window, nil, &event.TrafficWindow{DurationMS: 1000, Packets: 5}
	flows.Kind, flows.Detection, flows.Flows = event.Flows, nil, make([]event.Flow, 64)
	over.Detection.Phase = "over"
	engine.publish(window, flows, over, engine.detection("unheard_of", "192.0.2.66", "198.51.100.7"))
	r.waitPackets(s, 4)
	require.Empty(t, r.alerts())
}

func TestCorrelationCountsDetectionsAndLines(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	engine.publish(engine.detection("port_scan", "192.0.2.66", "198.51.100.7"))
	r.waitPackets(s, 1)
	r.write(fmt.Sprintf("%s web1 sshd[77]: Accepted password for bob from 192.0.2.66 port 4242 ssh2\n", stamp(-time.Second)))
	a := r.wait(2)[1]
	require.Equal(t, "SSH Login After A Scan", a.Title)
	require.Equal(t, "192.0.2.66", a.Source.IP)
	require.Contains(t, a.Evidence[0], `"name":"port_scan"`)
	require.Contains(t, a.Evidence[1], "Accepted password for bob")
}

// Deliveries that were not processed at a stop are delivered again; one that was processed does not count
// twice, even if its acknowledgement was lost.
func TestPacketsSurviveAStop(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	first := engine.detection("port_scan", "192.0.2.66", "198.51.100.7")
	engine.publish(first)
	r.waitPackets(s, 1)
	s.stop()
	for i := range 50 {
		engine.publish(engine.detection("port_scan", "192.0.2.66", fmt.Sprintf("198.51.100.%d", 100+i)))
	}
	r.redeliverAll()
	s = r.start()
	r.waitPackets(s, 50)
	require.Equal(t, uint64(1), s.count("packets_again"))
	alerts := r.alerts()
	require.Len(t, alerts, 51)
	requireOnce(t, alerts)
	require.Zero(t, s.count("suppressed"), "the first one was not counted again")
}

// redeliverAll creates the durable again, so that everything is delivered again.
func (r *rig) redeliverAll() {
	r.t.Helper()
	nc := r.bus.Raw(bus.Daemon)
	reply, err := nc.Request("$JS.API.CONSUMER.DELETE."+string(bus.Packets)+"."+bus.LogPipeline+"_"+r.bus.Host(), nil, patience)
	require.NoError(r.t, err)
	require.Contains(r.t, string(reply.Data), `"success":true`)
	r.bus.Provision()
}

// A record must name the host that the server saw it come from.
func TestRecordOfAnotherHostIsDeadLettered(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	p := engine.detection("port_scan", "192.0.2.66", "198.51.100.7")
	p.Host = "victim"
	engine.publish(p, engine.detection("port_scan", "192.0.2.67", "198.51.100.7"))
	r.waitPackets(s, 1)
	require.Len(t, r.alerts(), 1)
	letters := r.deadLetters()
	require.Len(t, letters, 1)
	require.Contains(t, strings.Join(letters[0].Header[bus.HeaderDLQReason], ""), `host "victim"`)
}

// deadLetters returns the dead letters.
func (r *rig) deadLetters() []bus.Delivery {
	r.t.Helper()
	var out []bus.Delivery
	require.NoError(r.t, r.bus.Conn(bus.Operator).History(r.t.Context(), bus.DLQ, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		out = append(out, d)
		return true
	}))
	return out
}

// While alerts cannot be stored, packet records wait in their stream and none is lost.
func TestPacketsWaitWhileTheAlertStreamIsFull(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t, bustest.WithLimits(bus.Limits{MaxStoreBytes: 16 << 20}), bustest.WithModules(bus.ContainerGuard, bus.LogPipeline))
	const lines = 2500 // more than the stream holds
	s := r.start()
	r.write(manyWebAttacks(lines))
	require.Eventually(t, func() bool {
		return strings.Contains(strings.Join(s.Health().Reasons, "\n"), "alerts cannot be stored")
	}, longPatience, tick)
	engine.publish(engine.detection("port_scan", "192.0.2.66", "198.51.100.7"))
	require.Zero(t, s.count("packets"))
	got := r.consume()
	r.waitPackets(s, 1)
	require.Eventually(t, func() bool { return got.len() >= lines+1 }, longPatience, tick)
	require.Equal(t, got.len(), got.total())
}

func manyWebAttacks(n int) string {
	var b strings.Builder
	now := time.Now().Format("02/Jan/2006:15:04:05 -0700")
	for i := range n {
		fmt.Fprintf(&b, "%s - - [%s] \"GET /../../etc/passwd HTTP/1.1\" 404 12 \"-\" \"curl/8 %s\"\n", address(i), now, strings.Repeat("x", 1800))
	}
	return b.String()
}

// The counts of a packet record are in memory only until a checkpoint is written: while that fails, the record
// is not acknowledged, lines are processed, and a crash loses no count.
func TestPacketsAreNotAcknowledgedWithoutACheckpoint(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	unblock := r.blockCheckpoint()
	engine.publish(engine.detection("port_scan", "192.0.2.66", "198.51.100.7"))
	r.wait(1)
	s.waitCheckpointError()
	require.Equal(t, uint64(1), r.unacked())
	r.write("Nov 20 10:00:00 web1 app[1]: lines go on\n")
	s.waitLines(1)
	s.waitCheckpointError()
	require.Equal(t, uint64(1), r.unacked())
	require.Contains(t, strings.Join(s.Health().Reasons, "\n"), "write checkpoint")
	s.stop() // the old checkpoint is still there, as after a crash
	unblock()

	s = r.start()
	r.waitPackets(s, 1)
	r.write(fmt.Sprintf("%s web1 sshd[77]: Accepted password for bob from 192.0.2.66 port 4242 ssh2\n", stamp(-time.Second)))
	alerts := r.wait(2)
	require.Equal(t, "SSH Login After A Scan", alerts[1].Title)
	requireOnce(t, alerts)
}

// The waiting packet records are acknowledged when a checkpoint can be written again.
func TestPacketsAreAcknowledgedOnceACheckpointIsWritten(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	r.cfg.CheckpointIntervalSecs = 3600
	s := r.start()
	unblock := r.blockCheckpoint()
	engine.publish(engine.detection("port_scan", "192.0.2.66", "198.51.100.7"))
	s.waitCheckpointError()
	engine.publish(engine.detection("port_scan", "192.0.2.67", "198.51.100.7"))
	unblock()
	r.waitPackets(s, 2)
	require.Empty(t, s.Health().Reasons)
	require.Len(t, r.alerts(), 2)
}

// blockCheckpoint makes the writing of checkpoints fail until unblock is called.
func (r *rig) blockCheckpoint() (unblock func()) {
	r.t.Helper()
	obstacle := filepath.Join(r.dir, ".checkpoint.json") // the name of the temporary file
	require.NoError(r.t, os.MkdirAll(filepath.Join(obstacle, "full"), 0o700))
	return func() { require.NoError(r.t, os.RemoveAll(obstacle)) }
}

// waitCheckpointError waits until another checkpoint has failed and the batch after that one was processed.
func (s *running) waitCheckpointError() {
	s.t.Helper()
	at := s.count("checkpoint_errors")
	require.Eventually(s.t, func() bool { return s.count("checkpoint_errors") > at+1 }, patience, tick)
}

// The records of one attack are one series of alerts, whose last one has the sums of the whole attack.
func TestDetectionThatGoesOnIsOneSeries(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	record := func(phase string, port uint16, after time.Duration, peak uint64) *event.Packet {
		p := engine.detection("syn_flood", "spoofed", "198.51.100.7")
		p.TraceID, p.Time = fmt.Sprintf("%032x", port), p.Time.Add(after-time.Minute)
		p.Detection.Phase, p.Detection.Method, p.Detection.Target.Port = phase, "", port
		p.Detection.Counts = map[string]uint64{"peak_per_second": peak, "packets": 10 * peak}
		return p
	}
	engine.publish(
		record("begun", 443, 0, 10_000), record("begun", 8080, time.Second, 500), record("ongoing", 443, 5*time.Second, 20_000),
		record("ongoing", 443, 10*time.Second, 300_000), record("over", 443, 20*time.Second, 300_000),
	)
	alerts := r.wait(4)
	r.waitPackets(s, 5)
	require.Len(t, r.alerts(), 4)
	var got []string
	for _, a := range alerts {
		got = append(got, fmt.Sprintf("%d %s %d %v %d", a.Target.Port, a.State, a.Revision, a.Update, a.Peak))
	}
	require.Equal(t, []string{"443 open 0 false 10000", "8080 open 0 false 500", "443 ongoing 1 true 300000", "443 over 2 true 300000"}, got)
	require.Equal(t, alerts[0].ID, alerts[3].Series)
	require.EqualValues(t, 3_000_000, alerts[3].Totals["packets"])
	require.Contains(t, alerts[3].Evidence[0], "over")
	require.NotEqual(t, alerts[0].Series, alerts[1].Series, "a flood of another port is another series")
}
