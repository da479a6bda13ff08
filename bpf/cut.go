package bpf

import (
	"fmt"
	"net/netip"
)

// Conversation is a connection, or an exchange of another protocol, that Remote began with a port of a container. Protocols without
// ports have 0.
type Conversation struct {
	Protocol uint8
	Remote   netip.AddrPort
	Port     uint16
}

// EgressCut is a pair of programs for both directions of the host's end of a container's interfaces (veth): what the container sends
// passes only as part of a conversation that another began, and a TCP connection that it tries to make is refused. The kernel keeps the
// programs that are attached; Close ends only this process's use of them.
type EgressCut struct{ objects cutObjects }

// LoadEgressCut loads the programs, with no conversations. It needs CAP_BPF and CAP_NET_ADMIN, and Linux 5.15.
func LoadEgressCut() (*EgressCut, error) {
	if err := removeMemlock(); err != nil {
		return nil, err
	}
	var c EgressCut
	if err := loadCutObjects(&c.objects, nil); err != nil {
		return nil, fmt.Errorf("load the programs that cut egress: %w", explain(err))
	}
	return &c, nil
}

// Admit lets a conversation go on that began before the programs were attached.
func (c *EgressCut) Admit(had Conversation) error {
	key := cutConversation{Remote: had.Remote.Addr().As16(), RemotePort: had.Remote.Port(), Port: had.Port, Protocol: had.Protocol}
	if err := c.objects.Conversations.Put(key, uint8(1)); err != nil {
		return fmt.Errorf("admit a conversation: %w", err)
	}
	return nil
}

// FromContainer returns the file descriptor of the program for what the host receives from the container, valid until Close.
func (c *EgressCut) FromContainer() int { return c.objects.FromContainer.FD() }

// ToContainer returns the file descriptor of the program for what the host sends to the container, valid until Close.
func (c *EgressCut) ToContainer() int { return c.objects.ToContainer.FD() }

// Close closes the programs.
func (c *EgressCut) Close() error { return c.objects.Close() }
