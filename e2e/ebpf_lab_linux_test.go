package e2e_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// The addresses of the lab. Packets to vlan4 carry a VLAN tag on their way to the victim, which also has labHosts
// addresses from labHost(0) on.
const (
	attacker4, victim4, vlan4 = "10.90.1.2", "10.90.2.2", "10.90.3.242"
	attacker6, victim6        = "fd90:1::2", "fd90:2::2"
	labHosts                  = 80
	labSources                = 32 // further addresses of the attacker
)

func source4(n int) string { return fmt.Sprintf("10.90.1.%d", n+10) }
func source6(n int) string { return fmt.Sprintf("fd90:1::%x", n+16) }

func labHost(n int) string { return fmt.Sprintf("10.90.3.%d", n+1) }

// lab is three connected network namespaces: attacker, router, victim. The packet engine runs in the victim's, on
// its interface to the router.
type lab struct {
	t                        *testing.T
	attacker, router, victim string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	testenv.Require(t, "netns", rootOnly())
	id := fmt.Sprintf("ip%d-%d", os.Getpid(), time.Now().UnixNano()%1e6)
	l := &lab{t: t, attacker: id + "-a", router: id + "-r", victim: id + "-v"}
	for _, ns := range []string{l.attacker, l.router, l.victim} {
		testenv.Require(t, "netns", command("ip", "netns", "add", ns))
		t.Cleanup(func() { require.NoError(t, command("ip", "netns", "del", ns)) })
		l.run(ns, "ip link set lo up")
	}
	l.veth(l.attacker, "wan", l.router, "left")
	l.veth(l.victim, "wan", l.router, "right")
	for _, a := range [][4]string{
		{l.attacker, "wan", attacker4, attacker6},
		{l.router, "left", "10.90.1.1", "fd90:1::1"},
		{l.router, "right", "10.90.2.1", "fd90:2::1"},
		{l.victim, "wan", victim4, victim6},
	} {
		l.addAddress(a[0], a[1], a[2], a[3])
	}
	for n := range labSources {
		l.addAddress(l.attacker, "wan", source4(n), source6(n))
	}
	for n := range labHosts {
		l.run(l.victim, "ip addr add "+labHost(n)+"/32 dev lo")
	}
	l.run(l.victim, "ip addr add "+vlan4+"/32 dev lo")
	l.addRoutes()
	l.tagVLAN()
	return l
}

func (l *lab) addRoutes() {
	l.run(l.attacker, "ip route add default via 10.90.1.1", "ip -6 route add default via fd90:1::1")
	l.run(l.victim, "ip route add default via 10.90.2.1", "ip -6 route add default via fd90:2::1")
	l.run(l.router, "ip route add 10.90.3.0/24 via "+victim4)
	l.sysctl(l.router, "net/ipv4/ip_forward", "1")
	l.sysctl(l.router, "net/ipv6/conf/all/forwarding", "1")
	for _, name := range []string{"all", "default", "left", "right"} {
		l.sysctl(l.router, "net/ipv4/conf/"+name+"/rp_filter", "0") // let spoofed sources pass
	}
	l.sysctl(l.victim, "net/ipv4/icmp_ratelimit", "0") // otherwise a UDP scan takes a second for each port
	l.sysctl(l.victim, "net/ipv6/icmp/ratelimit", "0")
}

// veth connects two namespaces, with a queue for each CPU like a network card.
func (l *lab) veth(ns, name, other, peer string) {
	l.t.Helper()
	queues := strconv.Itoa(runtime.NumCPU())
	require.NoError(l.t, command("ip", "link", "add", name, "netns", ns, "numrxqueues", queues, "numtxqueues", queues,
		"type", "veth", "peer", "name", peer, "netns", other, "numrxqueues", queues, "numtxqueues", queues))
	l.run(ns, "ip link set "+name+" up")
	l.run(other, "ip link set "+peer+" up")
}

// tagVLAN makes the router tag packets to vlan4 with VLAN 42, and the victim remove the tag behind XDP. BPF programs do
// it, because not every kernel has VLAN interfaces.
func (l *lab) tagVLAN() {
	l.t.Helper()
	l.run(l.router, "ethtool -K right txvlan off") // otherwise the tag is metadata, not part of the packet
	push := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R2, 14+16), // the target, behind the Ethernet header
		asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, -4), asm.Mov.Imm(asm.R4, 4),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "next"),
		asm.LoadMem(asm.R1, asm.RFP, -4, asm.Word),
		asm.JNE.Imm(asm.R1, int32(binary.NativeEndian.Uint32(netip.MustParseAddr(vlan4).AsSlice())), "next"),
		asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, 0x0081), asm.Mov.Imm(asm.R3, 42), // 0x8100 in network order
		asm.FnSkbVlanPush.Call(),
		asm.Mov.Imm(asm.R0, -1).WithSymbol("next"), asm.Return(), // TCX_NEXT
	}
	pop := asm.Instructions{asm.FnSkbVlanPop.Call(), asm.Mov.Imm(asm.R0, -1), asm.Return()}
	l.program(l.router, "right", ebpf.AttachTCXEgress, push)
	l.program(l.victim, "wan", ebpf.AttachTCXIngress, pop)
}

func (l *lab) program(ns, name string, at ebpf.AttachType, code asm.Instructions) {
	l.t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: code})
	require.NoError(l.t, err)
	var attached link.Link
	l.enter(ns, func() {
		i, failed := net.InterfaceByName(name)
		if err = failed; err == nil {
			attached, err = link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: p, Attach: at})
		}
	})
	testenv.Require(l.t, "tcx", err)
	l.t.Cleanup(func() { require.NoError(l.t, errors.Join(attached.Close(), p.Close())) })
}

func (l *lab) addAddress(ns, name, v4, v6 string) {
	l.run(ns, "ip addr add "+v4+"/24 dev "+name, "ip addr add "+v6+"/64 dev "+name+" nodad")
}

// run runs commands in a namespace.
func (l *lab) run(ns string, lines ...string) {
	l.t.Helper()
	for _, line := range lines {
		require.NoError(l.t, command(inNamespace(ns, strings.Fields(line)...)...))
	}
}

func (l *lab) sysctl(ns, key, value string) {
	l.t.Helper()
	require.NoError(l.t, command(inNamespace(ns, "sh", "-c", "echo "+value+" > /proc/sys/"+key)...))
}

// inNamespace returns the command that runs args in a network namespace. It keeps the mounts: one of them holds the pins.
func inNamespace(ns string, args ...string) []string {
	return slices.Concat([]string{"nsenter", "--net=/var/run/netns/" + ns}, args)
}

func command(args ...string) error {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func rootOnly() error {
	if os.Getuid() != 0 {
		return os.ErrPermission
	}
	return nil
}

// enter calls fn on a thread that is in the namespace.
func (l *lab) enter(ns string, fn func()) {
	l.t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		f, err := os.Open("/var/run/netns/" + ns)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			_ = f.Close()
		}
		if err == nil {
			fn()
		}
		done <- err
	}()
	require.NoError(l.t, <-done)
}

// attack runs a tool of the attacker to its end.
func (l *lab) attack(tool string, args ...string) {
	l.t.Helper()
	path, err := exec.LookPath(tool)
	testenv.Require(l.t, tool, err)
	require.NoError(l.t, command(inNamespace(l.attacker, append([]string{path}, args...)...)...))
}

// newEngineInstance is a daemon in the victim's namespace, with the packet engine on.
func newEngineInstance(t *testing.T, l *lab) *instance {
	t.Helper()
	s := newInstance(t)
	s.wrap = inNamespace(l.victim)
	s.enableEngine("")
	s.start()
	require.EqualValues(t, 1, s.counter("ebpf-engine", "mode_native:wan"), s.log)
	return s
}

// enableEngine enables the packet engine, with a bpf file system of its own.
func (s *instance) enableEngine(more string) {
	s.t.Helper()
	pins := s.path("pins")
	s.t.Cleanup(func() { _ = unix.Unmount(pins, unix.MNT_DETACH) })
	s.configure(fmt.Sprintf("[ebpf]\nenabled = true\npin_path = %q\n", pins) + more)
	s.t.Cleanup(func() { // before the unmount
		if s.daemon != nil {
			_ = s.daemon.Process.Kill()
			_ = s.daemon.Wait()
		}
	})
}

// configure adds to the configuration.
func (s *instance) configure(more string) {
	s.t.Helper()
	config, err := os.ReadFile(s.path("ironpost.toml"))
	require.NoError(s.t, err)
	s.write("ironpost.toml", string(config)+"\n"+more)
}

// waitForAlert waits for an alert with this title and source ("" for none) whose target has this prefix.
func (s *instance) waitForAlert(title, source, target string) event.Alert {
	s.t.Helper()
	var found event.Alert
	deadline := time.Now().Add(waitLimit)
	for time.Now().Before(deadline) {
		for _, a := range s.alerts() {
			if a.Rule.Title == title && sourceOf(&a) == source && strings.HasPrefix(targetOf(&a), target) {
				return a
			}
		}
		time.Sleep(200 * time.Millisecond) // each check starts a command
	}
	require.Fail(s.t, "no alert", "%s from %q to %q among %s", title, source, target, s.ironpost("alerts"))
	return found
}

func sourceOf(a *event.Alert) string {
	if a.Source == nil {
		return ""
	}
	return a.Source.IP
}

func targetOf(a *event.Alert) string {
	if a.Target == nil {
		return ""
	}
	return a.Target.IP
}
