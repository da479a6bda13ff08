package outbox

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
)

// The phases of a finding (package detect).
const (
	begun = "begun"
	over  = "over"
)

// maxTraces bounds the attacks whose announcements share a trace; beyond, all begin new ones.
const maxTraces = 16_384

// Announcement is a finding as it goes out: where, when, and how much of the traffic was sampled and
// lost when it was made.
type Announcement struct {
	Interface string
	Time      time.Time
	Finding   event.TrafficFinding
	Sampling  uint32
	Lost      uint64
}

// key tells the announcements of one attack.
func (a *Announcement) key() string {
	f := &a.Finding
	return strings.Join([]string{a.Interface, f.Name, f.Method, f.Actor, f.Target.IP, strconv.Itoa(int(f.Target.Port))}, "|")
}

// author signs records: with the host, and ids that no other record has.
type author struct {
	host   string
	run    string // of this process
	next   uint64
	traces map[string]string // of the attacks that go on, by key
}

func newAuthor(host string) author {
	var run [8]byte
	_, _ = rand.Read(run[:]) // never fails (crypto/rand)
	return author{host: host, run: hex.EncodeToString(run[:]), traces: map[string]string{}}
}

func (a *author) packet(kind event.PacketKind, name string, at time.Time) *event.Packet {
	a.next++
	id := a.run + "-" + strconv.FormatUint(a.next, 36)
	return &event.Packet{
		ID: id, Schema: event.Schema, TraceID: hash(id), Time: at.UTC(), Host: a.host, Interface: name, Kind: kind,
	}
}

func (a *author) window(name string, s span) *event.Packet {
	p := a.packet(event.Window, name, s.end)
	w := s.window
	w.DurationMS = s.length().Milliseconds()
	p.Window, p.Sampling, p.Lost = &w, s.sampling, s.lost
	return p
}

func (a *author) detection(key string, d *Announcement) *event.Packet {
	p := a.packet(event.Detection, d.Interface, d.Time)
	f := d.Finding
	p.TraceID = a.trace(key, f.Phase, p.TraceID)
	p.Detection, p.Sampling, p.Lost = &f, max(d.Sampling, 1), d.Lost
	return p
}

// trace has all announcements of an attack share one, from the first to the last.
func (a *author) trace(key, phase, fresh string) string {
	if len(a.traces) >= maxTraces {
		clear(a.traces)
	}
	known, ok := a.traces[key]
	if !ok || phase == begun {
		known = fresh
		a.traces[key] = fresh
	}
	if phase == over {
		delete(a.traces, key)
	}
	return known
}

func (a *author) blocked(name string, at time.Time, list []event.BlockedTraffic) *event.Packet {
	p := a.packet(event.Blocked, name, at)
	p.Blocked = list
	return p
}

func (a *author) flows(name string, at time.Time, b sampleBatch) *event.Packet {
	p := a.packet(event.Flows, name, at)
	p.Flows, p.Sampling, p.Lost = b.flows, b.sampling, b.lost
	return p
}

// hash returns 16 bytes in hex, as a trace id has (W3C Trace Context, section 3.2.2.3).
func hash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}
