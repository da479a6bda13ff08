package blocklist

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
)

// maxSourceFile bounds what is read of one of the system's files.
const maxSourceFile = 1 << 20

// resolvConfs name the servers that are asked: behind a stub on loopback stand those of the second and third.
func resolvConfs() []string {
	return []string{"etc/resolv.conf", "run/systemd/resolve/resolv.conf", "run/NetworkManager/resolv.conf"}
}

func leases() []string {
	return []string{
		"run/systemd/netif/leases/*", "var/lib/NetworkManager/internal-*.lease",
		"var/lib/dhcp/dhclient*.leases", "var/lib/dhclient/dhclient*.leases",
	}
}

// ProtectedAddresses finds the lifelines of this machine. Peers are those of the bus. Problems name what could not be looked at;
// the rest is found all the same.
func ProtectedAddresses(peers []netip.Addr) (list []ProtectedAddress, problems []error) {
	list, problems = networkLifelines("/", peers)
	found, err := sshPeers("/")
	list, left := tidy(append(list, found...))
	return list, append(problems, errs(err, noRoom(left))...)
}

// networkLifelines are those of the network and its configuration. Files are read below root, the rest is asked of the
// kernel, for this network namespace.
func networkLifelines(root string, peers []netip.Addr) (list []ProtectedAddress, problems []error) {
	list = single(constant(), BusPeer, peers...)
	for _, look := range []func(string) ([]ProtectedAddress, error){dnsServers, dhcpServers, gateways, ownAddresses} {
		found, err := look(root)
		list = append(list, found...)
		problems = append(problems, errs(err)...)
	}
	return list, problems
}

func noRoom(left int) error {
	if left == 0 {
		return nil
	}
	return fmt.Errorf("%d do not fit into the allow list", left)
}

func errs(all ...error) []error {
	return slices.DeleteFunc(all, func(err error) bool { return err == nil })
}

func dnsServers(root string) (list []ProtectedAddress, err error) {
	for _, name := range resolvConfs() {
		text, readErr := readSmall(filepath.Join(root, name))
		list = single(list, DNSServer, nameservers(text)...)
		err = errors.Join(err, readErr)
	}
	return list, wrapped("dns servers", err)
}

func dhcpServers(root string) (list []ProtectedAddress, err error) {
	for _, pattern := range leases() {
		names, _ := filepath.Glob(filepath.Join(root, pattern)) // the patterns are good
		slices.Sort(names)
		for _, name := range names[:min(len(names), 64)] {
			text, readErr := readSmall(name)
			list = single(list, DHCPServer, leaseServers(text)...)
			err = errors.Join(err, readErr)
		}
	}
	return list, wrapped("dhcp leases", err)
}

// readSmall returns a file's text, empty if there is none.
func readSmall(path string) (string, error) {
	f, err := open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // was only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, fmt.Errorf("%s: %w", path, os.ErrInvalid))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSourceFile))
	return string(data), err
}

func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
