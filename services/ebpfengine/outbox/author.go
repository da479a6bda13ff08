package outbox

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/event"
)

// recordBuilder signs records: with the host, and ids that no other record has.
type recordBuilder struct {
	host string
	run  string // of this process
	next uint64
}

func newRecordBuilder(host string) recordBuilder {
	var run [8]byte
	_, _ = rand.Read(run[:]) // never fails (crypto/rand)
	return recordBuilder{host: host, run: hex.EncodeToString(run[:])}
}

func (a *recordBuilder) packet(kind event.PacketKind, name string, at time.Time) *event.Packet {
	a.next++
	id := a.run + "-" + strconv.FormatUint(a.next, 36)
	return &event.Packet{
		ID: id, Schema: event.Schema, TraceID: hash(id), Time: at.UTC(), Host: a.host, Interface: name, Kind: kind,
	}
}

func (a *recordBuilder) window(name string, s mergedWindow) *event.Packet {
	p := a.packet(event.Window, name, s.end)
	w := s.window
	w.DurationMS = s.length().Milliseconds()
	p.Window, p.Sampling, p.Lost = &w, s.sampling, s.lost
	return p
}

func (a *recordBuilder) blocked(name string, at time.Time, list []event.BlockedTraffic) *event.Packet {
	p := a.packet(event.Blocked, name, at)
	p.Blocked = list
	return p
}

func (a *recordBuilder) flows(name string, at time.Time, b sampleBatch) *event.Packet {
	p := a.packet(event.Flows, name, at)
	p.Flows, p.Sampling, p.Lost = b.flows, b.sampling, b.lost
	return p
}

// hash returns 16 bytes in hex, as a trace id has (W3C Trace Context, section 3.2.2.3).
func hash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}
