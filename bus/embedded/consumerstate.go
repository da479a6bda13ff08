package embedded

import (
	"encoding/binary"
	"errors"
)

// The head of an o.dat file of nats-server 2.x.
const (
	stateMagic   = 22
	stateVersion = 2
)

var errState = errors.New("it is damaged")

// decodeState reads an o.dat file whole, as nats-server does, which trusts its counts: a damaged one makes it ask for
// any amount of memory. It returns the ack floor and the last delivered sequence of the stream.
func decodeState(b []byte) (floor, delivered uint64, err error) {
	if len(b) < 2 || b[0] != stateMagic || b[1] != stateVersion {
		return 0, 0, errState
	}
	d := stateDecoder{rest: b[2:]}
	d.number() // of the consumer
	floor = d.number()
	d.number()
	delivered = d.number()
	if pending := d.count(); pending > 0 {
		d.time()
		for ; pending > 0; pending-- {
			d.number()
			d.number()
			d.time()
		}
	}
	for redelivered := d.count(); redelivered > 0; redelivered-- {
		d.number()
		d.number()
	}
	const mostPlausible = 1 << 62
	if d.failed || len(d.rest) > 0 || max(floor, delivered) > mostPlausible {
		return 0, 0, errState
	}
	return floor, delivered, nil
}

// stateDecoder reads numbers of variable length until one is damaged.
type stateDecoder struct {
	rest   []byte
	failed bool
}

func (d *stateDecoder) number() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.skip(n)
	return v
}

func (d *stateDecoder) time() {
	_, n := binary.Varint(d.rest)
	d.skip(n)
}

// count is a number of entries, each of which takes at least a byte.
func (d *stateDecoder) count() uint64 {
	v := d.number()
	if d.failed || v > uint64(len(d.rest)) {
		d.failed = true
		return 0
	}
	return v
}

func (d *stateDecoder) skip(n int) {
	if n <= 0 || d.failed {
		d.failed, d.rest = true, nil
		return
	}
	d.rest = d.rest[n:]
}
