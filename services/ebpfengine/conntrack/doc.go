// Package conntrack asks the kernel's table of connections who began one, before this host translated its address.
package conntrack

import "errors"

// ErrUnknown means that the kernel has no such connection, or several of different sources.
var ErrUnknown = errors.New("the kernel's table of connections does not tell the source")
