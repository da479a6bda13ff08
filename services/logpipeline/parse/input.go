package parse

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/services/logpipeline/format"
)

// Input is what is known of the source of a line besides its bytes, by configuration. The zero value knows nothing.
type Input struct {
	// Format is the format of the messages, one of Formats: they are read as nothing else. "" and the formats of syslog find it out.
	Format string
	// Location is the time zone of times without one; nil for that of Options.
	Location *time.Location
	// TrustedProxies are the addresses of proxies: in a list of forwarded addresses, the last one that is none of theirs is the client's.
	TrustedProxies []netip.Prefix
	// Described are formats that are tried before the built-in ones, on texts whose program has none; nil for none.
	Described *format.Set
}

// Formats returns the names that Input.Format may have.
func Formats() []string {
	names := []string{string(RFC3164), string(RFC5424)}
	for _, f := range textFormats {
		names = append(names, string(f.name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}
