package quarantine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
)

// Sizes and offsets of linux/inet_diag.h. netlink.SocketDestroy does this for IPv4 only.
const (
	diagRequestSize   = 56 // struct inet_diag_req_v2
	diagRequestIDAt   = 8  // of its struct inet_diag_sockid
	diagMessageSize   = 72 // struct inet_diag_msg
	diagMessageIDAt   = 4
	socketIDSize      = 48
	allStates         = 0xffffffff
	maxDestroyRounds  = 5 // connections are listed again until none is left
	diagTimeoutSecond = 2
)

// connectedStates is the set of TCP states with a peer: all but LISTEN, CLOSE and TIME_WAIT.
const connectedStates = 1<<unix.BPF_TCP_ESTABLISHED | 1<<unix.BPF_TCP_SYN_SENT | 1<<unix.BPF_TCP_SYN_RECV |
	1<<unix.BPF_TCP_FIN_WAIT1 | 1<<unix.BPF_TCP_FIN_WAIT2 | 1<<unix.BPF_TCP_CLOSE_WAIT | 1<<unix.BPF_TCP_LAST_ACK |
	1<<unix.BPF_TCP_CLOSING | 1<<unix.BPF_TCP_NEW_SYN_RECV

var errNotOwnNamespace = errors.New("its network namespace is not its own")

// destroyConnections destroys every TCP connection in the container's network namespace,
// except those within the container. Listening sockets stay.
func destroyConnections(ctx context.Context, c docker.Container) error {
	diag, err := openDiag(ctx, c)
	if err != nil {
		return err
	}
	defer diag.Close()
	for range maxDestroyRounds {
		left, err := diag.destroyAll()
		if err != nil || left == 0 {
			return err
		}
	}
	return errors.New("connections remain after being destroyed")
}

// networkNamespace opens the network namespace of a container's first process, after
// making sure that the process is the container's and the namespace not the host's.
func networkNamespace(c docker.Container) (*os.File, error) {
	if c.PID <= 0 {
		return nil, errors.New("container has no process")
	}
	if c.NetworkMode == "host" || c.NetworkOwner() != "" {
		return nil, errNotOwnNamespace
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", c.PID))
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	_, err = cgroupOf(c)                                                          // with the namespace open: the process id may have been reused before
	for _, host := range []string{"/proc/thread-self/ns/net", "/proc/1/ns/net"} { // of self, the first thread, may be another: openDiag
		own, failed := ns.Stat()
		other, missing := os.Stat(host)
		if err == nil && failed == nil && missing == nil && os.SameFile(own, other) {
			err = errNotOwnNamespace
		}
	}
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return ns, nil
}

// diagSocket is a socket of Linux' sock_diag interface in some network namespace.
type diagSocket struct{ socket *nl.NetlinkSocket }

// openDiag opens a socket in the network namespace of a container. Only the thread that opens it has to be
// there; that thread stays locked and ends with its goroutine.
func openDiag(ctx context.Context, c docker.Container) (diagSocket, error) {
	ns, err := networkNamespace(c)
	if err != nil {
		return diagSocket{}, err
	}
	defer func() { _ = ns.Close() }()
	var socket *nl.NetlinkSocket
	g := task.New(ctx)
	g.Go("socket diagnosis", func(context.Context) (err error) {
		runtime.LockOSThread()
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
			socket, err = nl.Subscribe(unix.NETLINK_INET_DIAG)
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return diagSocket{}, fmt.Errorf("enter network namespace: %w", err)
	}
	timeout := unix.Timeval{Sec: diagTimeoutSecond}
	err = errors.Join(socket.SetSendTimeout(&timeout), socket.SetReceiveTimeout(&timeout))
	return diagSocket{socket: socket}, err
}

// Close closes the socket.
func (d diagSocket) Close() { d.socket.Close() }

// destroyAll destroys the connections there are and returns how many are left.
func (d diagSocket) destroyAll() (left int, err error) {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		ids, err := d.connections(family)
		if err != nil {
			return left, err
		}
		for _, id := range ids {
			if err := d.destroy(family, id); err != nil {
				return left, err
			}
		}
		rest, err := d.connections(family)
		if err != nil {
			return left, err
		}
		left += len(rest)
	}
	return left, nil
}

// destroy ends one connection. One that has ended already is fine.
func (d diagSocket) destroy(family byte, id []byte) error {
	_, err := d.do(nl.SOCK_DESTROY, unix.NLM_F_ACK, newDiagRequest(family, allStates, id))
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("destroy connection: %w", err)
	}
	return nil
}

// listening returns the ports on which the container listens.
func (d diagSocket) listening() (map[uint16]bool, error) {
	ports := map[uint16]bool{}
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		messages, err := d.do(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP, newDiagRequest(family, 1<<unix.BPF_TCP_LISTEN, nil))
		if err != nil {
			return nil, fmt.Errorf("list listening sockets: %w", err)
		}
		for _, m := range messages {
			if len(m) >= diagMessageSize {
				ports[binary.BigEndian.Uint16(m[diagMessageIDAt:])] = true
			}
		}
	}
	return ports, nil
}

// connections lists the ids (struct inet_diag_sockid) of sockets with a peer outside the container.
func (d diagSocket) connections(family byte) ([][]byte, error) {
	messages, err := d.do(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP, newDiagRequest(family, connectedStates, nil))
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	var out [][]byte
	for _, m := range messages {
		if len(m) < diagMessageSize {
			continue
		}
		if id := m[diagMessageIDAt : diagMessageIDAt+socketIDSize]; !isInternal(family, id) {
			out = append(out, bytes.Clone(id))
		}
	}
	return out, nil
}

func (d diagSocket) do(command, flags int, body diagRequest) ([][]byte, error) {
	r := nl.NewNetlinkRequest(command, flags)
	r.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_INET_DIAG: {Socket: d.socket}}
	r.AddData(body)
	return r.Execute(unix.NETLINK_INET_DIAG, 0)
}

// isInternal reports whether both ends of a connection are loopback addresses: it never was
// on a network. In an id the ports have 4 bytes, then each address 16.
func isInternal(family byte, id []byte) bool {
	return addressIn(family, id[4:]).IsLoopback() && addressIn(family, id[20:]).IsLoopback()
}

func addressIn(family byte, b []byte) netip.Addr {
	if family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16([16]byte(b[:16])).Unmap()
}

// diagRequest is a struct inet_diag_req_v2.
type diagRequest []byte

func newDiagRequest(family byte, states uint32, id []byte) diagRequest {
	b := make(diagRequest, diagRequestSize)
	b[0], b[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], states)
	copy(b[diagRequestIDAt:], id)
	return b
}

// Len implements nl.NetlinkRequestData.
func (r diagRequest) Len() int { return len(r) }

// Serialize implements nl.NetlinkRequestData.
func (r diagRequest) Serialize() []byte { return r }
