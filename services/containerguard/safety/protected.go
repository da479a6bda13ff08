package safety

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// ProtectedLabel on a container keeps the guard away from it, whatever its value
// but "false".
const ProtectedLabel = "ironpost.protected"

// Self is the container the guard runs in. ID is empty if it runs in none, or if
// Inside says that it does but which one could not be found.
type Self struct {
	Inside bool
	ID     string
}

// Protections say which containers are never acted on. Its methods may be called
// concurrently.
type Protections struct {
	self         Self
	names        []string // globs
	dependencies []dependency

	mu        sync.Mutex
	addresses map[string][]netip.Addr // of the needs' hosts
}

// dependency is something the guard depends on, by host and port.
type dependency struct{ host, port string }

// NewProtections returns the protections of a guard that is self, of containers
// whose names match one of names, and of those that serve one of needs: host:port
// of the bus, the database and the socket proxy.
func NewProtections(self Self, names, needs []string) *Protections {
	p := &Protections{self: self, names: names, addresses: map[string][]netip.Addr{}}
	for _, n := range needs {
		host, port, err := net.SplitHostPort(n)
		if err != nil {
			host, port = n, ""
		}
		p.dependencies = append(p.dependencies, dependency{host: host, port: port})
	}
	return p
}

// Resolve looks the names of the needs up, so that a container is known by its
// address as well. A name that is not found keeps the addresses it had.
func (p *Protections) Resolve(ctx context.Context) {
	for _, n := range p.dependencies {
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", n.host)
		if err != nil || len(found) == 0 {
			continue
		}
		for i := range found {
			found[i] = found[i].Unmap()
		}
		p.mu.Lock()
		p.addresses[n.host] = found
		p.mu.Unlock()
	}
}

// Inherit takes over the addresses that old knows of needs that p has too, so that a
// change of the configuration bares none of them until names are looked up again.
func (p *Protections) Inherit(old *Protections) {
	if old == nil {
		return
	}
	old.mu.Lock()
	known := maps.Clone(old.addresses)
	old.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.dependencies {
		if addresses, is := known[n.host]; is && p.addresses[n.host] == nil {
			p.addresses[n.host] = addresses
		}
	}
}

// Reason says why c must not be acted on, "" if it may be. all are the containers
// there are, c among them.
func (p *Protections) Reason(c docker.Container, all []docker.Container) string {
	switch value, labelled := c.Labels[ProtectedLabel]; {
	case p.self.Inside && p.self.ID == "":
		return "protected: the guard runs in a container and could not find out in which, so it touches none"
	case p.self.ID != "" && c.ID == p.self.ID:
		return "protected: it is the guard's own container"
	case labelled && !strings.EqualFold(value, "false"):
		return "protected: label " + ProtectedLabel
	case slices.ContainsFunc(p.names, func(pattern string) bool { return policy.Glob(pattern, c.Name) }):
		return "protected: by name, container.protected"
	}
	if need := p.servedDependency(c); need != "" {
		return "protected: the guard depends on it for " + need
	}
	return sharing(c, all)
}

// sharing says whose network would be cut with that of c.
func sharing(c docker.Container, all []docker.Container) string {
	for _, other := range all {
		owner := other.NetworkOwner()
		if owner == "" || other.ID == c.ID || !other.Running {
			continue
		}
		if owner == c.Name || owner == c.ID || len(owner) >= 12 && strings.HasPrefix(c.ID, owner) {
			return fmt.Sprintf("protected: container %q shares its network", other.Name)
		}
	}
	return ""
}

// Dependency says which need is at addr, "" if none is.
func (p *Protections) Dependency(addr netip.Addr) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.dependencies {
		literal, err := netip.ParseAddr(n.host)
		if err == nil && literal.Unmap() == addr || slices.Contains(p.addresses[n.host], addr) {
			return net.JoinHostPort(n.host, n.port)
		}
	}
	return ""
}

// servedDependency returns the need that c serves.
func (p *Protections) servedDependency(c docker.Container) string {
	for _, n := range p.dependencies {
		if p.matches(c, n) {
			return net.JoinHostPort(n.host, n.port)
		}
	}
	return ""
}

func (p *Protections) matches(c docker.Container, n dependency) bool {
	if n.host == c.Name || c.Service != "" && n.host == c.Service || strings.HasPrefix(c.ID, n.host) && len(n.host) >= 12 {
		return true
	}
	p.mu.Lock()
	addresses := p.addresses[n.host]
	p.mu.Unlock()
	if addr, err := netip.ParseAddr(n.host); err == nil {
		addresses = append(slices.Clone(addresses), addr.Unmap())
	}
	for _, e := range c.Networks {
		if slices.Contains(e.Aliases, n.host) || slices.Contains(addresses, e.IPv4) || slices.Contains(addresses, e.IPv6) {
			return true
		}
	}
	return slices.ContainsFunc(c.Ports, func(port docker.Port) bool { return n.publishedAt(port.Host, addresses) })
}

// publishedAt reports whether n is reached through a port that a container
// publishes at host, which is on this machine.
func (n dependency) publishedAt(host string, addresses []netip.Addr) bool {
	at := strings.LastIndexByte(host, ':')
	if at < 0 || n.port == "" || host[at+1:] != n.port {
		return false
	}
	bound, err := netip.ParseAddr(strings.Trim(host[:at], "[]"))
	if err != nil || bound.IsUnspecified() {
		return n.host == "localhost" || slices.ContainsFunc(addresses, isOwn)
	}
	return slices.Contains(addresses, bound.Unmap()) || n.host == "localhost" && bound.IsLoopback()
}

// IsSelf reports whether c is the container the guard runs in.
func (p *Protections) IsSelf(c docker.Container) bool { return p.self.ID != "" && c.ID == p.self.ID }
