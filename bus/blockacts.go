package bus

import (
	"net/netip"
)

// The acts of a daemon about the blocklist of its bus, for operators: a BlockRequest and a BlockReply, an UnblockRequest and an UnblockReply. Each leaves
// an action with the operator.
const (
	VerbBlock   = "block"
	VerbUnblock = "unblock"
)

// BlockRequest asks to write the entry of Block, whatever it was before.
type BlockRequest struct {
	Block Block `json:"block"`
}

// BlockReply has the entry that was there before; its Source is empty if none was, or none that can be read.
type BlockReply struct {
	Before Block `json:"before"`
}

// UnblockRequest asks to remove the entries of Prefix: with a Scope those of its protocol and port, else all.
type UnblockRequest struct {
	Prefix netip.Prefix `json:"prefix"`
	Scope
	Reason string `json:"reason,omitempty"`
}

// UnblockReply has the entries that were removed.
type UnblockReply struct {
	Removed []Block `json:"removed"`
}

// Entries returns the entries of blocks that r asks to remove: not those of the hub.
func (r UnblockRequest) Entries(blocks []Block) (found []Block) {
	for _, b := range blocks {
		same := b.Protocol == r.Protocol && b.Port == r.Port
		if b.Prefix == r.Prefix && !b.Hub && (r.All() || same) {
			found = append(found, b)
		}
	}
	return found
}
