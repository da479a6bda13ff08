package blocklist

import "net/netip"

// SSHPeers looks for sessions below root.
func SSHPeers(root string) ([]ProtectedAddress, error) { return sshPeers(root, new(otherProcesses)) }

// RemoteEnds returns the remote end of the connection with this inode.
func RemoteEnds(root string, inode uint64) ([]netip.Addr, error) {
	return remoteEnds(root, map[uint64]bool{inode: true})
}

// ParseConnection parses a line of proc/net/tcp.
func ParseConnection(line string) (netip.Addr, bool) {
	addr, _, ok := parseConnection(line)
	return addr, ok
}

// ConnectedPeers looks for connections below root.
func ConnectedPeers(root string, network netip.Prefix) ([]netip.Addr, error) {
	return connectedPeers(root, network)
}

type OtherProcesses = otherProcesses

func (o *OtherProcesses) Remove(names []string, isSSHD func(pid string) bool) []string {
	return o.remove(names, isSSHD)
}
