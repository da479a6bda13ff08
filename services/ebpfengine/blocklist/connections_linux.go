package blocklist

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// connectedPeers returns the addresses of an IPv6 network to which this host has an established TCP connection, or forwards one
// (nf_conntrack; with UDP in both directions).
func connectedPeers(root string, network netip.Prefix) (found []netip.Addr, err error) {
	add := func(addr netip.Addr) {
		if network.Contains(addr) && !slices.Contains(found, addr) {
			found = append(found, addr)
		}
	}
	err = eachConnection(root, []string{"tcp6"}, func(remote netip.Addr, _ uint64) { add(remote) })
	f, openErr := os.Open(filepath.Join(root, "proc/net/nf_conntrack"))
	switch {
	case errors.Is(openErr, fs.ErrNotExist) && !forwards6(root):
		return found, err
	case openErr != nil:
		return found, errors.Join(err, fmt.Errorf("connections that this host forwards: %w", openErr))
	}
	lines := bufio.NewScanner(f)
	for n := 0; lines.Scan(); n++ {
		if n == maxConnections {
			err = errors.Join(err, fmt.Errorf("%s: more than %d connections", f.Name(), maxConnections))
			break
		}
		for _, addr := range trackedPeers(lines.Text()) {
			add(addr)
		}
	}
	return found, errors.Join(err, lines.Err(), f.Close())
}

// trackedPeers returns the addresses in a line of /proc/net/nf_conntrack, if the connection is IPv6 and established.
func trackedPeers(line string) (peers []netip.Addr) {
	fields := strings.Fields(line)
	if len(fields) < 4 || fields[0] != "ipv6" || !slices.Contains(fields, "ESTABLISHED") && (fields[2] != "udp" || !slices.Contains(fields, "[ASSURED]")) {
		return nil
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		if addr, err := netip.ParseAddr(value); err == nil && (name == "src" || name == "dst") {
			peers = append(peers, addr)
		}
	}
	return peers
}

// forwards6 reports whether this host forwards IPv6.
func forwards6(root string) bool {
	text, err := readSmall(filepath.Join(root, "proc/sys/net/ipv6/conf/all/forwarding"))
	value := strings.TrimSpace(text)
	return err == nil && value != "" && value != "0"
}
