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
	"github.com/ironpost/ironpost/internal/glob"
)

// ProtectedLabel on a container protects it, whatever its value except "false".
const ProtectedLabel = "ironpost.protected"

// Self is the container the guard runs in. Inside without an ID means that it runs in
// one that could not be identified.
type Self struct {
	Inside bool
	ID     string
}

// Protections says which containers are never acted on. Its methods may be called
// concurrently.
type Protections struct {
	self         Self
	names        []string // globs
	dependencies []dependency

	mu        sync.Mutex
	addresses map[string][]netip.Addr // of the dependencies' hosts
}

// dependency is the host and port of something the guard needs.
type dependency struct{ host, port string }

// NewProtections protects the container self, containers whose names match one of names,
// and those that serve one of dependsOn: host:port of the bus, the database or the
// socket proxy.
func NewProtections(self Self, names, dependsOn []string) *Protections {
	p := &Protections{self: self, names: names, addresses: map[string][]netip.Addr{}}
	for _, d := range dependsOn {
		host, port, err := net.SplitHostPort(d)
		if err != nil {
			host, port = d, ""
		}
		p.dependencies = append(p.dependencies, dependency{host: host, port: port})
	}
	return p
}

// Resolve looks up the dependencies' names, so that their containers are recognised by
// address too. A name that cannot be resolved keeps the addresses it had.
func (p *Protections) Resolve(ctx context.Context) {
	for _, d := range p.dependencies {
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", d.host)
		if err != nil || len(found) == 0 {
			continue
		}
		for i := range found {
			found[i] = found[i].Unmap()
		}
		p.mu.Lock()
		p.addresses[d.host] = found
		p.mu.Unlock()
	}
}

// Inherit copies the addresses that old has of dependencies that p has too, so that they
// stay protected after a reload until Resolve is called.
func (p *Protections) Inherit(old *Protections) {
	if old == nil {
		return
	}
	old.mu.Lock()
	known := maps.Clone(old.addresses)
	old.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.dependencies {
		if addresses, ok := known[d.host]; ok && p.addresses[d.host] == nil {
			p.addresses[d.host] = addresses
		}
	}
}

// Reason says why c is protected, or returns "". all are the existing containers.
func (p *Protections) Reason(c docker.Container, all []docker.Container) string {
	switch value, labelled := c.Labels[ProtectedLabel]; {
	case p.self.Inside && p.self.ID == "":
		return "protected: the guard runs in a container and could not find out in which, so it acts on none"
	case p.self.ID != "" && c.ID == p.self.ID:
		return "protected: it is the guard's own container"
	case labelled && !strings.EqualFold(value, "false"):
		return "protected: label " + ProtectedLabel
	case slices.ContainsFunc(p.names, func(pattern string) bool { return glob.Match(pattern, c.Name) }):
		return "protected: by name, container.protected"
	}
	if dependency := p.servedDependency(c); dependency != "" {
		return "protected: the guard depends on it for " + dependency
	}
	return sharedNetworkReason(c, all)
}

// sharedNetworkReason names a container that would lose its network together with c.
func sharedNetworkReason(c docker.Container, all []docker.Container) string {
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

// Dependency returns host:port of a dependency with an address in network, or "".
func (p *Protections) Dependency(network netip.Prefix) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.dependencies {
		literal, err := netip.ParseAddr(d.host)
		if err == nil && network.Contains(literal.Unmap()) || slices.ContainsFunc(p.addresses[d.host], network.Contains) {
			return net.JoinHostPort(d.host, d.port)
		}
	}
	return ""
}

// servedDependency returns host:port of the dependency that c serves, or "".
func (p *Protections) servedDependency(c docker.Container) string {
	for _, d := range p.dependencies {
		if p.matches(c, d) {
			return net.JoinHostPort(d.host, d.port)
		}
	}
	return ""
}

// matches reports whether c serves d: by its name, Compose service, id, alias, address or
// published port.
func (p *Protections) matches(c docker.Container, d dependency) bool {
	if d.host == c.Name || c.Service != "" && d.host == c.Service || strings.HasPrefix(c.ID, d.host) && len(d.host) >= 12 {
		return true
	}
	p.mu.Lock()
	addresses := p.addresses[d.host]
	p.mu.Unlock()
	if addr, err := netip.ParseAddr(d.host); err == nil {
		addresses = append(slices.Clone(addresses), addr.Unmap())
	}
	for _, e := range c.Networks {
		if slices.Contains(e.Aliases, d.host) || slices.Contains(addresses, e.IPv4) || slices.Contains(addresses, e.IPv6) {
			return true
		}
	}
	return slices.ContainsFunc(c.Ports, func(port docker.Port) bool { return d.publishedAt(port.Host, addresses) })
}

// publishedAt reports whether d is reached through a port that a container publishes on
// this machine at host, an address and port. addresses are those of d.
func (d dependency) publishedAt(host string, addresses []netip.Addr) bool {
	at := strings.LastIndexByte(host, ':')
	if at < 0 || d.port == "" || host[at+1:] != d.port {
		return false
	}
	bound, err := netip.ParseAddr(strings.Trim(host[:at], "[]"))
	if err != nil || bound.IsUnspecified() {
		return d.host == "localhost" || slices.ContainsFunc(addresses, isOwn)
	}
	return slices.Contains(addresses, bound.Unmap()) || d.host == "localhost" && bound.IsLoopback()
}

// IsSelf reports whether c is the container the guard runs in.
func (p *Protections) IsSelf(c docker.Container) bool { return p.self.ID != "" && c.ID == p.self.ID }
