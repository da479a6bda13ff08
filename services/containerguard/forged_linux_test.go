package containerguard_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/internal/conntrack"
	"github.com/ironpost/ironpost/internal/testenv"
)

const flagSYN, flagACK = 0x02, 0x10

// segment is a TCP packet with addresses of the sender's choice.
type segment struct {
	from, to netip.AddrPort
	seq, ack uint32
	flags    byte
	ttl      byte
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func (s segment) packet() []byte {
	const ipSize, tcpSize = 20, 20
	b := make([]byte, ipSize+tcpSize)
	b[0], b[8], b[9] = 0x45, s.ttl, unix.IPPROTO_TCP
	copy(b[12:], s.from.Addr().AsSlice())
	copy(b[16:], s.to.Addr().AsSlice())
	tcp := b[ipSize:]
	binary.BigEndian.PutUint16(tcp, s.from.Port())
	binary.BigEndian.PutUint16(tcp[2:], s.to.Port())
	binary.BigEndian.PutUint32(tcp[4:], s.seq)
	binary.BigEndian.PutUint32(tcp[8:], s.ack)
	tcp[12], tcp[13] = tcpSize/4<<4, s.flags
	binary.BigEndian.PutUint16(tcp[14:], 65535)
	pseudo := append(append([]byte{}, b[12:20]...), 0, unix.IPPROTO_TCP, 0, tcpSize)
	binary.BigEndian.PutUint16(tcp[16:], checksum(append(pseudo, tcp...)))
	return b
}

// sendFrom sends packets from the network namespace of a process.
func sendFrom(t *testing.T, pid int, segments ...segment) {
	t.Helper()
	ended := make(chan error)
	go func() { // its thread ends with it
		runtime.LockOSThread()
		ended <- func() error {
			ns, err := netns.GetFromPid(pid)
			if err != nil {
				return err
			}
			defer func() { _ = ns.Close() }()
			if err := netns.Set(ns); err != nil {
				return err
			}
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
			if err != nil {
				return err
			}
			defer func() { _ = unix.Close(fd) }()
			for _, s := range segments {
				if err := unix.Sendto(fd, s.packet(), 0, &unix.SockaddrInet4{Addr: s.to.Addr().As4()}); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	require.NoError(t, <-ended)
}

// A neighbour that sends the packets of a connection with the address of another container, to a peer that answers it with a time to live that ends at
// this host, makes connection tracking see a complete handshake. That is no sign about the other container.
func TestNeighbourCannotForgeAConnection(t *testing.T) {
	d := testenv.DockerdHere(t)
	inFar := farSide(t, attacker, outside)
	var far int
	_, err := fmt.Sscan(inFar[len(inFar)-1], &far)
	require.NoError(t, err)
	drop := append(inFar[:len(inFar):len(inFar)], "iptables", "-A", "INPUT", "-p", "tcp", "--dport", "4444", "-j", "DROP") // else its kernel resets it
	out, err := exec.Command(drop[0], drop[1:]...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	listenOutside(t, "4444")
	r := newRig(t)
	r.cfg.DockerSocket = d.Socket
	r.policy("p", `actions = ["pause"]`, `cooldown = "0s"`, `require.signs = 2`)
	ids := map[string]string{}
	for _, name := range []string{"victim", "neighbour", "barrier"} {
		ids[name] = d.Run(t, testenv.ContainerOptions{Name: name})
	}
	r.learned(map[string][]string{"victim": nil, "neighbour": nil, "barrier": nil})
	s := r.start().docker()
	s.eventually(func() bool { return s.count("containers") == uint64(len(ids)) })

	own := netip.AddrPortFrom(state(t, d, ids["victim"]).Networks[0].IPv4, 5555)
	peer, translated := netip.MustParseAddrPort(attacker+":4444"), netip.MustParseAddrPort(outside+":5555")
	neighbour := state(t, d, ids["neighbour"]).PID
	forged := conntrack.Connection{From: own, To: peer}
	s.eventually(func() bool {
		sendFrom(t, neighbour, segment{own, peer, 1000, 0, flagSYN, 64})
		sendFrom(t, far, segment{peer, translated, 5000, 1001, flagSYN | flagACK, 1})
		ack := segment{own, peer, 1001, 5001, flagACK, 64}
		sendFrom(t, neighbour, ack, ack)
		complete, _, err := conntrack.Complete(forged)
		require.NoError(t, err)
		return complete
	})
	for _, name := range []string{"victim", "barrier"} {
		a := r.alert(webShell(ids[name], attacker, "/c99.php"))
		r.publish(a)
		r.await(a, "pause skipped dry")
		if name == "barrier" {
			d.Exec(t, ids[name], "sh", "-c", "echo | nc -w 3 "+outside+" 4444")
			r.await(a, "pause done")
		}
	}
	require.False(t, state(t, d, ids["victim"]).Paused)
}
