package quarantine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/internal/docker"
)

// Linux's interface for looking at sockets, linux/inet_diag.h and linux/sock_diag.h.
const (
	sockDiagByFamily = 20
	sockDestroy      = 21
	requestSize      = 56 // struct inet_diag_req_v2
	messageSize      = 72 // struct inet_diag_msg
	idOffset         = 4  // of struct inet_diag_sockid in the message
	idSize           = 48
	requestIDOffset  = 8 // and in the request
)

// connected is the set of TCP states with a peer: all but listening, closed and
// waiting after the end. SYN_RECV is among them.
const connected = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<5 | 1<<8 | 1<<9 | 1<<11 | 1<<12

// maxRounds bounds how often connections are listed again until none is left.
const maxRounds = 5

var errNotOwnNamespace = errors.New("its network namespace is not its own")

// sever destroys every TCP connection in the container's network namespace, other
// than within the container, and returns how many. Listening sockets stay.
func sever(c docker.Container) (int, error) {
	ns, err := networkNamespace(c)
	if err != nil {
		return 0, err
	}
	defer func() { _ = ns.Close() }()
	fd, err := diagSocket(ns)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	total := 0
	for range maxRounds {
		n, left, err := destroyAll(fd)
		total += n
		if err != nil {
			return total, err
		}
		if left == 0 {
			return total, nil
		}
	}
	return total, errors.New("connections remain after being destroyed")
}

// networkNamespace opens the namespace of a running container's first process,
// after making sure that the process is of that container, and that the
// namespace is not this host's.
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
	if err := belongs(ns, c); err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return ns, nil
}

// belongs checks, with the namespace open, that the process id still is the container's.
func belongs(ns *os.File, c docker.Container) error {
	cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.PID))
	if err != nil || !bytes.Contains(cgroup, []byte(c.ID)) {
		return fmt.Errorf("process %d is not seen to be in the container", c.PID)
	}
	for _, own := range []string{"/proc/self/ns/net", "/proc/1/ns/net"} {
		same, err := sameFile(ns, own)
		if err == nil && same {
			return errNotOwnNamespace
		}
	}
	return nil
}

func sameFile(f *os.File, path string) (bool, error) {
	a, err := f.Stat()
	if err != nil {
		return false, err
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b), err
}

// diagSocket opens a netlink socket inside a namespace. Only the thread that
// opens it has to be there, and that one ends: it is locked and never unlocked.
func diagSocket(ns *os.File) (int, error) {
	type result struct {
		fd  int
		err error
	}
	out := make(chan result)
	go func() { // not through task: the thread must end with it; it is waited for, and does no more than two system calls
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			out <- result{-1, fmt.Errorf("enter network namespace: %w", err)}
			return
		}
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
		out <- result{fd, err}
	}()
	r := <-out
	if r.err != nil {
		return -1, fmt.Errorf("socket diagnosis: %w", r.err)
	}
	timeout := unix.Timeval{Sec: 2}
	if err := unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return -1, errors.Join(err, unix.Close(r.fd))
	}
	return r.fd, nil
}

// destroyAll destroys what is connected now and returns how many connections it
// destroyed and how many there still are.
func destroyAll(fd int) (destroyed, left int, err error) {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		ids, err := connections(fd, family)
		if err != nil {
			return destroyed, left, err
		}
		for _, id := range ids {
			err := destroy(fd, family, id)
			if err != nil && !errors.Is(err, unix.ENOENT) {
				return destroyed, left, fmt.Errorf("destroy connection: %w", err)
			}
			destroyed++
		}
		rest, err := connections(fd, family)
		if err != nil {
			return destroyed, left, err
		}
		left += len(rest)
	}
	return destroyed, left, nil
}

// connections lists the socket ids (struct inet_diag_sockid) with a peer elsewhere.
func connections(fd int, family byte) ([][]byte, error) {
	if err := send(fd, sockDiagByFamily, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, request(family, connected, nil)); err != nil {
		return nil, err
	}
	var out [][]byte
	for {
		messages, err := receive(fd)
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			switch m.kind {
			case unix.NLMSG_DONE:
				return out, nil
			case unix.NLMSG_ERROR:
				return nil, errorOf(m.body)
			case sockDiagByFamily:
				if len(m.body) >= messageSize && !within(family, m.body[idOffset:]) {
					out = append(out, bytes.Clone(m.body[idOffset:idOffset+idSize]))
				}
			}
		}
	}
}

// within tells whether both ends of a connection are in the container: such a
// one never was on a network. Ports are the first 4 bytes of the id, then 16 each
// for the addresses.
func within(family byte, id []byte) bool {
	address := func(b []byte) netip.Addr {
		if family == unix.AF_INET {
			return netip.AddrFrom4([4]byte(b[:4]))
		}
		return netip.AddrFrom16([16]byte(b[:16])).Unmap()
	}
	return address(id[4:]).IsLoopback() && address(id[20:]).IsLoopback()
}

func destroy(fd int, family byte, id []byte) error {
	if err := send(fd, sockDestroy, unix.NLM_F_REQUEST|unix.NLM_F_ACK, request(family, 0xffffffff, id)); err != nil {
		return err
	}
	for {
		messages, err := receive(fd)
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.kind == unix.NLMSG_ERROR {
				return errorOf(m.body)
			}
		}
	}
}

func request(family byte, states uint32, id []byte) []byte {
	b := make([]byte, requestSize)
	b[0], b[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], states)
	copy(b[requestIDOffset:], id)
	return b
}

type message struct {
	kind uint16
	body []byte
}

func send(fd int, kind, flags uint16, body []byte) error {
	b := make([]byte, unix.NLMSG_HDRLEN+len(body))
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], flags)
	binary.NativeEndian.PutUint32(b[8:], 1)
	copy(b[unix.NLMSG_HDRLEN:], body)
	return unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func receive(fd int) ([]message, error) {
	buffer := make([]byte, 64<<10)
	n, _, err := unix.Recvfrom(fd, buffer, 0)
	if err != nil {
		return nil, fmt.Errorf("socket diagnosis: %w", err)
	}
	var out []message
	for b := buffer[:n]; len(b) >= unix.NLMSG_HDRLEN; {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return nil, errors.New("socket diagnosis: answer is not understood")
		}
		out = append(out, message{kind: binary.NativeEndian.Uint16(b[4:]), body: b[unix.NLMSG_HDRLEN:size]})
		b = b[min(len(b), (size+3)&^3):]
	}
	return out, nil
}

// errorOf reads struct nlmsgerr: zero is success.
func errorOf(body []byte) error {
	if len(body) < 4 {
		return errors.New("socket diagnosis: answer is not understood")
	}
	if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// frozen reads from the freezer whether a paused container really is frozen.
// Where the freezer cannot be read, the engine's word counts.
func frozen(c docker.Container) bool {
	if !c.Paused || c.PID <= 0 {
		return true
	}
	cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.PID))
	if err != nil || !bytes.Contains(cgroup, []byte(c.ID)) {
		return true
	}
	for line := range strings.Lines(string(cgroup)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch parts[1] {
		case "freezer":
			state, err := os.ReadFile("/sys/fs/cgroup/freezer" + parts[2] + "/freezer.state")
			return err != nil || strings.TrimSpace(string(state)) == "FROZEN"
		case "":
			events, err := os.ReadFile("/sys/fs/cgroup" + parts[2] + "/cgroup.events")
			if err == nil {
				return strings.Contains(string(events), "frozen 1")
			}
		}
	}
	return true
}
