package egress

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/internal/conntrack"
	"github.com/ironpost/ironpost/internal/docker"
)

// view is what the reports of connections are compared with. It is never changed.
type view struct {
	networks  []netip.Prefix // of containers whose packets pass through this network namespace
	byAddress map[netip.Addr]docker.Container
	tracked   []docker.Container // with an address in networks
	untracked []docker.Container // with other networks that lead out, or that of the host
	resolvers []netip.Addr
}

// refresh makes a view of the containers that run.
func (s *Sensor) refresh() {
	v := &view{byAddress: map[netip.Addr]docker.Container{}, resolvers: hostResolvers("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")}
	here := hostAddresses()
	for _, c := range s.options.Containers() {
		if c.Running {
			v.add(c, here)
			s.options.Present(c)
		}
	}
	s.view.Store(v)
}

// add adds a container. Its packets pass through here if its gateway is an address of this network namespace.
func (v *view) add(c docker.Container, here map[netip.Addr]bool) {
	tracked, elsewhere := false, c.NetworkMode == "host"
	for _, e := range c.Networks {
		for _, subnet := range e.Subnets {
			switch {
			case !subnet.Gateway.IsValid(): // it leads nowhere
			case !here[subnet.Gateway]:
				elsewhere = true
			default:
				tracked = true
				if !slices.Contains(v.networks, subnet.Prefix) {
					v.networks = append(v.networks, subnet.Prefix)
				}
			}
		}
		for _, address := range []netip.Addr{e.IPv4, e.IPv6} {
			if address.IsValid() {
				v.byAddress[address] = c
			}
		}
	}
	if tracked {
		v.tracked = append(v.tracked, c)
	}
	if elsewhere {
		v.untracked = append(v.untracked, c)
	}
}

// leaves reports whether c goes from a network of containers to an address beyond it, and asks no name server of the host.
func (v *view) leaves(c conntrack.Connection) bool {
	from := slices.IndexFunc(v.networks, func(p netip.Prefix) bool { return p.Contains(c.From.Addr()) })
	return from >= 0 && !v.networks[from].Contains(c.To.Addr()) && !c.To.Addr().IsLoopback() && !v.resolver(c.To)
}

func (v *view) resolver(to netip.AddrPort) bool {
	const dns = 53
	return to.Port() == dns && slices.Contains(v.resolvers, to.Addr())
}

// ofOwnNetwork reports whether an address is in one of the networks of c, or inside of it.
func ofOwnNetwork(c docker.Container, address netip.Addr) bool {
	return address.IsLoopback() || slices.ContainsFunc(c.Networks, func(e docker.Endpoint) bool {
		return slices.ContainsFunc(e.Subnets, func(s docker.Subnet) bool { return s.Prefix.Contains(address) })
	})
}

func hostAddresses() map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			out[prefix.Addr()] = true
		}
	}
	return out
}

// hostResolvers returns the name servers in files of the form of resolv.conf, which need not exist. Containers use those of the host.
func hostResolvers(files ...string) (out []netip.Addr) {
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "nameserver" {
				if address, err := netip.ParseAddr(fields[1]); err == nil {
					out = append(out, address.WithZone(""))
				}
			}
		}
		_ = f.Close()
	}
	return out
}

// trackingProblem says why connection tracking reports nothing, although it may be subscribed to.
func trackingProblem() error {
	const folder = "/proc/sys/net/netfilter/"
	events, err := os.ReadFile(folder + "nf_conntrack_events")
	if err != nil {
		return errors.New("connection tracking is not active in this network namespace")
	}
	if strings.TrimSpace(string(events)) == "0" {
		return errors.New("net.netfilter.nf_conntrack_events is 0")
	}
	return nil
}
