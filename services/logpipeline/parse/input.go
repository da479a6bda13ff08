package parse

import (
	"net/netip"
	"time"
)

// Input is what is known of the source of a line besides its bytes, by configuration. The zero value knows nothing.
type Input struct {
	// Format is the format of the messages, one of Formats; "" finds it out.
	Format string
	// Location is the time zone of times without one; nil for that of Options.
	Location *time.Location
	// TrustedProxies are the addresses of proxies: in a list of forwarded addresses, the last one that is none of theirs is the client's.
	TrustedProxies []netip.Prefix
}

// Formats returns the names that Input.Format may have.
func Formats() []string {
	return []string{string(RFC3164), string(RFC5424), string(JSON), string(Access), string(ApacheError)}
}
