package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// ID returns the id that follows from parts alone: 128 bits of SHA-256 in 32 hex
// digits, the size of a W3C trace id. Each part is hashed with its length, so that
// ("a", "bc") and ("ab", "c") differ. A record made again from the same parts, such as
// after a crash, gets the same id. It is safe for concurrent use.
func ID(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // writing to a hash cannot fail
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
