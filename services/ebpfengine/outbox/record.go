package outbox

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/event"
)

// recordBuilder makes records of a host with unique ids.
type recordBuilder struct {
	host string
	run  string // random, of this process
	next uint64
}

func newRecordBuilder(host string) recordBuilder {
	var run [8]byte
	_, _ = rand.Read(run[:]) // never fails (crypto/rand)
	return recordBuilder{host: host, run: hex.EncodeToString(run[:])}
}

func (b *recordBuilder) packet(kind event.PacketKind, name string, at time.Time) *event.Packet {
	b.next++
	id := b.run + "-" + strconv.FormatUint(b.next, 36)
	return &event.Packet{
		ID: id, Schema: event.Schema, TraceID: event.ID(id), Time: at.UTC(), Host: b.host, Interface: name, Kind: kind,
	}
}
