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

// engine publishes as the eBPF engine does.
type engine struct {
	t    *testing.T
	host string
	pub  *bus.Publisher
	n    int
}

func newEngine(t *testing.T, r *rig) *engine {
	t.Helper()
	pub, err := r.bus.Conn(bus.EBPFEngine).Publisher(bus.PublisherConfig{Stream: bus.Packets, Module: bus.EBPFEngine, Host: r.bus.Host()})
	require.NoError(t, err)
	return &engine{t: t, host: r.bus.Host(), pub: pub}
}

// found is a detection as package detect announces it.
func (e *engine) found(name, actor, target string) *event.Packet {
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

func (e *engine) publish(recs ...event.Record) {
	e.t.Helper()
	require.NoError(e.t, e.pub.Publish(e.t.Context(), recs...))
}

func newPacketRig(t *testing.T, options ...bustest.Option) (*rig, *engine) {
	t.Helper()
	r := newRig(t, options...)
	r.cfg.RulesPath = ""
	return r, newEngine(t, r)
}

// judgedPackets waits until n records of the engine were judged and acknowledged.
func (r *rig) judgedPackets(s *running, n uint64) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return s.count("packets") >= n && r.owed() == 0 }, patience, tick)
}

// owed is how many records the log pipeline has not acknowledged.
func (r *rig) owed() uint64 {
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
	require.FailNow(r.t, "no durable reads the packets")
	return 0
}

func TestADetectionBecomesAnAlert(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	p := engine.found("port_scan", "192.0.2.66", "198.51.100.7")
	p.Lost = 17
	engine.publish(p)
	a := r.wait(1)[0]
	require.Equal(t, "Port Scan", a.Title)
	require.Equal(t, event.Medium, a.Severity)
	require.Contains(t, a.Rule.Tags, "attack.t1046")
	require.Equal(t, &event.Endpoint{IP: "192.0.2.66"}, a.Source)
	require.Equal(t, &event.Endpoint{IP: "198.51.100.7", Port: 443}, a.Target)
	require.Equal(t, p.TraceID, a.TraceID, "one trace runs from the packet to the alert")
	require.Equal(t, logpipeline.Name, a.Module)
	require.Equal(t, p.Time, a.LastSeen)
	require.Equal(t, p.Time.Add(-3*time.Second), a.FirstSeen)
	require.Equal(t, "port_scan (syn) by 192.0.2.66 against 198.51.100.7:443 begun for 3s: announcement 1, ports 40, probes 41", a.Evidence[0])
	require.JSONEq(t, `{"name":"port_scan","method":"syn","phase":"begun","actor":"192.0.2.66","target":{"ip":"198.51.100.7","port":443},
		"duration_ms":3000,"counts":{"ports":40,"probes":41,"announcement":1},"ports":[22,80]}`, a.Evidence[1])
	require.Equal(t, []event.Incomplete{{Counter: "packets_lost", Amount: 17}}, a.Incomplete)
	r.judgedPackets(s, 1)
}

// The same actor at a second target, and another actor at the same target, are
// alerts of their own; the same pair again is counted.
func TestASecondTargetIsNeverHidden(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	engine.publish(
		engine.found("port_scan", "192.0.2.66", "198.51.100.7"), engine.found("port_scan", "192.0.2.66", "198.51.100.8"),
		engine.found("port_scan", "192.0.2.67", "198.51.100.7"), engine.found("port_scan", "192.0.2.66", "198.51.100.7"),
		engine.found("syn_flood", "spoofed", "198.51.100.7"), engine.found("syn_flood", "spoofed", "198.51.100.8"),
	)
	r.judgedPackets(s, 6)
	alerts := r.alerts()
	require.Len(t, alerts, 5)
	require.Equal(t, uint64(1), s.count("suppressed"))
	for _, a := range alerts[3:] {
		require.Nil(t, a.Source, "nobody may be blocked for what others did in his name")
		require.NotNil(t, a.Target)
	}
}

// A kind that nobody wrote a rule for, windows and samples raise nothing, and do
// not wait in the stream.
func TestOrdinaryTrafficRaisesNothing(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	window, flows, over := engine.found("", "", ""), engine.found("", "", ""), engine.found("port_scan", "192.0.2.66", "198.51.100.7")
	window.Kind, window.Detection, window.Window = event.Window, nil, &event.TrafficWindow{DurationMS: 1000, Packets: 5}
	flows.Kind, flows.Detection, flows.Flows = event.Flows, nil, make([]event.Flow, 64)
	over.Detection.Phase = "over"
	engine.publish(window, flows, over, engine.found("unheard_of", "192.0.2.66", "198.51.100.7"))
	r.judgedPackets(s, 4)
	require.Empty(t, r.alerts())
}

func TestARuleMayCountDetectionsAndLines(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	engine.publish(engine.found("port_scan", "192.0.2.66", "198.51.100.7"))
	r.judgedPackets(s, 1)
	r.write(fmt.Sprintf("%s web1 sshd[77]: Accepted password for bob from 192.0.2.66 port 4242 ssh2\n", stamp(-time.Second)))
	a := r.wait(2)[1]
	require.Equal(t, "SSH Login After A Scan", a.Title)
	require.Equal(t, "192.0.2.66", a.Source.IP)
	require.Contains(t, a.Evidence[0], `"name":"port_scan"`)
	require.Contains(t, a.Evidence[1], "Accepted password for bob")
}

// What was delivered and not judged when the service stopped comes again, and what
// was judged does not count twice, even if its acknowledgement was lost.
func TestPacketsSurviveAStop(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	first := engine.found("port_scan", "192.0.2.66", "198.51.100.7")
	engine.publish(first)
	r.judgedPackets(s, 1)
	s.stop()
	for i := range 50 {
		engine.publish(engine.found("port_scan", "192.0.2.66", fmt.Sprintf("198.51.100.%d", 100+i)))
	}
	r.forgetAcks()
	s = r.start()
	r.judgedPackets(s, 50)
	require.Equal(t, uint64(1), s.count("packets_again"))
	alerts := r.alerts()
	require.Len(t, alerts, 51)
	requireOnce(t, alerts)
	require.Zero(t, s.count("suppressed"), "the first did not count for its window again")
}

// forgetAcks makes the durable anew, so that everything is delivered again.
func (r *rig) forgetAcks() {
	r.t.Helper()
	nc := r.bus.Raw(bus.Daemon)
	reply, err := nc.Request("$JS.API.CONSUMER.DELETE."+string(bus.Packets)+"."+bus.LogPipeline+"_"+r.bus.Host(), nil, patience)
	require.NoError(r.t, err)
	require.Contains(r.t, string(reply.Data), `"success":true`)
	r.bus.Provision()
}

// A record that speaks for another host than the one it came from is nobody's.
func TestARecordOfAnotherHostIsADeadLetter(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	p := engine.found("port_scan", "192.0.2.66", "198.51.100.7")
	p.Host = "victim"
	engine.publish(p, engine.found("port_scan", "192.0.2.67", "198.51.100.7"))
	r.judgedPackets(s, 1)
	require.Len(t, r.alerts(), 1)
	letters := r.letters()
	require.Len(t, letters, 1)
	require.Contains(t, strings.Join(letters[0].Header[bus.HeaderDLQReason], ""), `host "victim"`)
}

// letters returns the dead letters.
func (r *rig) letters() []bus.Delivery {
	r.t.Helper()
	var out []bus.Delivery
	require.NoError(r.t, r.bus.Conn(bus.Operator).History(r.t.Context(), bus.DLQ, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		out = append(out, d)
		return true
	}))
	return out
}

// While alerts cannot be stored, packets wait in their stream and none is lost.
func TestAFullAlertStreamMakesPacketsWait(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t, bustest.WithLimits(bus.Limits{MaxStoreBytes: 16 << 20}), bustest.WithModules(bus.ContainerGuard, bus.LogPipeline))
	const lines = 2500 // more than the stream holds
	s := r.start()
	r.write(manyWebAttacks(lines))
	require.Eventually(t, func() bool {
		return strings.Contains(strings.Join(s.Health().Reasons, "\n"), "alerts cannot be stored")
	}, longPatience, tick)
	engine.publish(engine.found("port_scan", "192.0.2.66", "198.51.100.7"))
	require.Zero(t, s.count("packets"))
	got := r.consume()
	r.judgedPackets(s, 1)
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

// What a record of the engine left behind is a count in memory until a checkpoint holds
// it: while none can be written, the record is not acknowledged, lines go on, and a
// death loses no count.
func TestPacketsWaitForACheckpointThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	s := r.start()
	unblock := r.blockCheckpoint()
	engine.publish(engine.found("port_scan", "192.0.2.66", "198.51.100.7"))
	r.wait(1)
	s.refusedCheckpoint()
	require.Equal(t, uint64(1), r.owed())
	r.write("Nov 20 10:00:00 web1 app[1]: lines go on\n")
	s.judged(1)
	s.refusedCheckpoint()
	require.Equal(t, uint64(1), r.owed())
	require.Contains(t, strings.Join(s.Health().Reasons, "\n"), "write checkpoint")
	s.stop() // the old checkpoint is still there, as after a death
	unblock()

	s = r.start()
	r.judgedPackets(s, 1)
	r.write(fmt.Sprintf("%s web1 sshd[77]: Accepted password for bob from 192.0.2.66 port 4242 ssh2\n", stamp(-time.Second)))
	alerts := r.wait(2)
	require.Equal(t, "SSH Login After A Scan", alerts[1].Title)
	requireOnce(t, alerts)
}

// As soon as one can be written again, the records that waited are acknowledged.
func TestPacketsAreAcknowledgedOnceACheckpointIsWritten(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	r.cfg.FlushIntervalSecs = 3600
	s := r.start()
	unblock := r.blockCheckpoint()
	engine.publish(engine.found("port_scan", "192.0.2.66", "198.51.100.7"))
	s.refusedCheckpoint()
	engine.publish(engine.found("port_scan", "192.0.2.67", "198.51.100.7"))
	unblock()
	r.judgedPackets(s, 2)
	require.Empty(t, s.Health().Reasons)
	require.Len(t, r.alerts(), 2)
}

// blockCheckpoint keeps checkpoints from being written until unblock is called.
func (r *rig) blockCheckpoint() (unblock func()) {
	r.t.Helper()
	inTheWay := filepath.Join(r.dir, ".checkpoint.json") // the name of the temporary file
	require.NoError(r.t, os.MkdirAll(filepath.Join(inTheWay, "full"), 0o700))
	return func() { require.NoError(r.t, os.RemoveAll(inTheWay)) }
}

// refusedCheckpoint waits until one more checkpoint could not be written, and what
// comes of that has been done.
func (s *running) refusedCheckpoint() {
	s.t.Helper()
	at := s.count("checkpoint_errors")
	require.Eventually(s.t, func() bool { return s.count("checkpoint_errors") > at+1 }, patience, tick)
}
