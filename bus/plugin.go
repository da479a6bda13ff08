package bus

import (
	"slices"

	"github.com/ironpost/ironpost/event"
)

// Plugin is a module of another author. It is in no table: its key says what it may do.
type Plugin struct {
	Name    string // one token that no module of the table has
	Host    string
	Publish []StreamName // Alerts
	Trust   event.Trust  // its ceiling: TrustUnproven or TrustPeer
}

// reservedNames are no plug-in's, because other connections have them.
var reservedNames = []string{Daemon, Operator, Forwarder, Edge, "bus", "edges", "gateway", "metrics", "observer"}

// IsPluginName reports whether a plug-in may have the name.
func IsPluginName(name string) bool {
	const most = 63 // RFC 1123, one label
	return name != "" && len(name) <= most && HostToken(name) == name && !IsModule(name) && !slices.Contains(reservedNames, name)
}

// Permission returns what the key of p permits: its own subjects, inbox and verbs, and, as for every
// publisher, reading the streams it publishes to.
func (p Plugin) Permission() Permission {
	out := servicePermission(p.Name, p.Host)
	out.produce(p.Publish, p.Name, p.Host)
	return out
}
