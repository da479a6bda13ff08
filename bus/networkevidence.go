package bus

import "net/netip"

// VerbNetworkEvidence is the verb of the packet engine that the guard asks before it blocks an IPv6 /64: it
// takes a NetworkEvidenceRequest and returns a NetworkEvidence.
const VerbNetworkEvidence = "network-evidence"

// NetworkEvidenceRequest asks about a network.
type NetworkEvidenceRequest struct {
	// Network is an IPv6 /64.
	Network netip.Prefix `json:"network"`
	// Address is one of its addresses, which was just blocked: the engine may not have read that yet.
	Address netip.Addr `json:"address"`
}

// NetworkEvidence is what the packet engine of a host knows about a network.
type NetworkEvidence struct {
	// Proven are addresses of the network that are blocked automatically, and whose packets are known not to
	// be forged: each completed a TCP handshake, as far as the engine remembers. At most 64.
	Proven []netip.Addr `json:"proven"`
	// Refused says why the whole network must not be blocked: the operator allows a part of it, or it has
	// protected addresses or established connections of others. Empty: nothing is known against it.
	Refused string `json:"refused,omitempty"`
}
