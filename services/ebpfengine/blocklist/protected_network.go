package blocklist

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
)

const (
	maxSourceFile = 1 << 20 // bytes read of one file of the system
	maxLeases     = 64      // files read for one pattern
)

// The files that name servers. systemd-resolved and NetworkManager put a stub on loopback into the first; the others have the
// servers behind it.
func resolvConfFiles() []string {
	return []string{"etc/resolv.conf", "run/systemd/resolve/resolv.conf", "run/NetworkManager/resolv.conf"}
}

func leaseFiles() []string {
	return []string{
		"run/systemd/netif/leases/*", "var/lib/NetworkManager/internal-*.lease",
		"var/lib/dhcp/dhclient*.leases", "var/lib/dhclient/dhclient*.leases",
	}
}

// ProtectedAddresses returns the protected addresses of this machine and the bus peers given. Problems say what could not be
// found out; everything else is returned all the same.
func ProtectedAddresses(peers []netip.Addr) (list []ProtectedAddress, problems []error) {
	list, problems = networkAddresses("/", peers)
	sessions, err := sshPeers("/", new(otherProcesses))
	list, omitted := fitAllowList(append(list, sessions...))
	return list, append(problems, nonNil(err, omittedError(omitted))...)
}

// networkAddresses returns all protected addresses but SSH peers. Files are read below root; addresses and routes are those of
// this network namespace.
func networkAddresses(root string, peers []netip.Addr) (list []ProtectedAddress, problems []error) {
	list = appendHosts(alwaysProtected(), BusPeer, peers...)
	for _, source := range []struct {
		name, kind string
		find       func(root string) ([]netip.Addr, error)
	}{
		{"dns servers", DNSServer, dnsServers},
		{"dhcp leases", DHCPServer, dhcpServers},
		{"routes", Gateway, gateways},
		{"addresses", OwnAddress, ownAddresses},
	} {
		addrs, err := source.find(root)
		list = appendHosts(list, source.kind, addrs...)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", source.name, err))
		}
	}
	return list, problems
}

func omittedError(n int) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d do not fit into the kernel's allow list", n)
}

func nonNil(all ...error) []error {
	return slices.DeleteFunc(all, func(err error) bool { return err == nil })
}

func dnsServers(root string) (addrs []netip.Addr, err error) {
	for _, name := range resolvConfFiles() {
		text, readErr := readSmall(filepath.Join(root, name))
		addrs, err = append(addrs, parseResolvConf(text)...), errors.Join(err, readErr)
	}
	return addrs, err
}

func dhcpServers(root string) (addrs []netip.Addr, err error) {
	for _, pattern := range leaseFiles() {
		names, _ := filepath.Glob(filepath.Join(root, pattern)) // fails for a bad pattern only
		for _, name := range names[:min(len(names), maxLeases)] {
			text, readErr := readSmall(name)
			addrs, err = append(addrs, parseLease(text)...), errors.Join(err, readErr)
		}
	}
	return addrs, err
}

// readSmall returns the text of a regular file, at most maxSourceFile of it; empty if there is none.
func readSmall(path string) (string, error) {
	f, _, err := openRegular(path)
	if errors.Is(err, errNotRegular) {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if err != nil {
		return "", unlessMissing(err)
	}
	defer f.Close() //nolint:errcheck // was only read
	data, err := io.ReadAll(io.LimitReader(f, maxSourceFile))
	return string(data), err
}

// unlessMissing returns err unless it says that a file does not exist.
func unlessMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
