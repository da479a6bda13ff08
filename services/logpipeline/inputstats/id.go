// Package inputstats counts what each input of the log pipeline brought and what of it was lost, and remembers how each input used to
// be: which one is silent or brings unreadable lines against its own past. The number of inputs is bounded, the rest count as one.
package inputstats

import (
	"github.com/ironpost/ironpost/event"
)

// Kind says where lines come from.
type Kind string

// The kinds of inputs.
const (
	File      Kind = "file"      // the name is a pattern of watch_paths
	Container Kind = "container" // the name is that of the container
	Journal   Kind = "journal"   // of systemd-journald
	Kernel    Kind = "kernel"    // the kernel's log
	Socket    Kind = "socket"    // a unix socket, which the name is
	Syslog    Kind = "syslog"    // the name is the transport: udp, tcp, tls, or operator of ironpost send

	// other is the kind of Other.
	other Kind = "other"
)

// Other is the input that counts for those that there is no room for.
var Other = ID{Kind: other}

// maxName bounds the name of an input in bytes: it is shown, and is a label of metrics.
const maxName = 256

// ID names an input. It is comparable.
type ID struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name,omitempty"`
}

// String returns the name for people: of a file its pattern, of the others the kind before it.
func (id ID) String() string {
	switch {
	case id.Kind == File:
		return id.Name
	case id.Name == "":
		return string(id.Kind)
	}
	return string(id.Kind) + ":" + id.Name
}

// local reports whether the input is of this machine: other machines cannot silence it.
func (id ID) local() bool { return id.Kind != Syslog && id.Kind != other }

func (id ID) bounded() ID {
	id.Name = event.Shorten(id.Name, maxName)
	return id
}
