package blocklist

import "net/netip"

// SSHPeers looks for logins below root.
func SSHPeers(root string) ([]ProtectedAddress, error) { return sshPeers(root) }

// PeersOf returns the other end of the connection with this inode.
func PeersOf(root string, inode uint64) ([]netip.Addr, error) {
	return peersOf(root, map[uint64]bool{inode: true})
}

// Established reads a line of proc/net/tcp.
func Established(line string) (netip.Addr, bool) {
	addr, _, ok := established(line)
	return addr, ok
}
