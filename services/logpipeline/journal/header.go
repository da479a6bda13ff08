package journal

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// ID is a 128-bit id, as systemd writes them: 32 hex digits.
type ID [16]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText returns the 32 hex digits.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(id)) {
		return fmt.Errorf("id of %d characters", len(text))
	}
	_, err := hex.Decode(id[:], text)
	return err
}

// Bits of the header's incompatible flags.
const (
	flagXZ = 1 << iota
	flagLZ4
	flagKeyedHash
	flagZSTD
	flagCompact
	knownFlags = 1<<iota - 1
)

const (
	stateArchived = 2
	headerSize    = 208 // of the oldest files; later versions have more fields, which are not used here
	objectHeader  = 16
	minEntry      = 64 // bytes of an entry without fields
)

// header is what is used of the header of a file. Times are microseconds since 1970.
type header struct {
	incompatible               uint32
	state                      byte
	file, machine, seqnums     ID
	size                       uint64 // of the header
	array                      uint64 // offset of the first entry array, 0 for none
	entries                    uint64
	headSeqnum, tailSeqnum     uint64
	headRealtime, tailRealtime uint64
}

var errNoJournal = errors.New("is no journal file")

// parseHeader parses the first headerSize bytes of a file of size bytes.
func parseHeader(b []byte, size uint64) (header, error) {
	if len(b) < headerSize || string(b[:8]) != "LPKSHHRH" {
		return header{}, errNoJournal
	}
	number := binary.LittleEndian.Uint64
	h := header{
		incompatible: binary.LittleEndian.Uint32(b[12:]), state: b[16], size: number(b[88:]), array: number(b[176:]), entries: number(b[152:]),
		tailSeqnum: number(b[160:]), headSeqnum: number(b[168:]), headRealtime: number(b[184:]), tailRealtime: number(b[192:]),
	}
	copy(h.file[:], b[24:])
	copy(h.machine[:], b[40:])
	copy(h.seqnums[:], b[72:])
	switch unknown := h.incompatible &^ knownFlags; {
	case unknown != 0:
		return h, fmt.Errorf("has a format newer than this program reads (incompatible flags %#x): update ironpost", unknown)
	case h.size < headerSize || h.size > size:
		return h, fmt.Errorf("is damaged: header of %d bytes", h.size)
	case h.entries > size/minEntry:
		return h, fmt.Errorf("is damaged: %d entries in %d bytes", h.entries, size)
	}
	return h, nil
}
