//go:build accept && linux

package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// requireMended waits until no reason of module contains text any more.
func (s *instance) requireMended(row, module, text string) {
	s.t.Helper()
	s.eventually(func() bool {
		return !slices.ContainsFunc(s.toldReasons(), func(r told) bool { return r.module == module && strings.Contains(r.text, text) })
	})
	s.t.Logf("%s: mended, and not shown any more (bar: gone)", row)
}

// fillEgress attaches as many programs to the egress of an interface as the kernel takes, and returns what detaches them.
func (l *lab) fillEgress(ns, name string) (detach func()) {
	l.t.Helper()
	next := asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()} // TCX_NEXT
	var attached []io.Closer
	var err error
	l.enter(ns, func() {
		i, failed := net.InterfaceByName(name)
		for err = failed; err == nil && len(attached) < 1000; {
			var p *ebpf.Program // each only once
			if p, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: next}); err != nil {
				return
			}
			attached = append(attached, p)
			var another link.Link
			if another, err = link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: p, Attach: ebpf.AttachTCXEgress}); err == nil {
				attached = append(attached, another)
			}
		}
	})
	require.ErrorIs(l.t, err, unix.ERANGE)
	detach = sync.OnceFunc(func() {
		for _, a := range attached {
			require.NoError(l.t, a.Close())
		}
	})
	l.t.Cleanup(detach)
	return detach
}

// What the daemon may not do, or has no room for, is told, and is gone once mended.
func TestAcceptHostileHostTruthOfLimits(t *testing.T) {
	t.Run("missing capability", func(t *testing.T) {
		s := newInstance(t)
		const ofItsOwn = "ip link set lo up && mount -t bpf bpf /sys/fs/bpf && exec \"$@\"" // no other engine is in the way
		own := []string{"unshare", "--net", "--mount", "sh", "-c", ofItsOwn, "sh"}
		s.configure("[ebpf]\nenabled = true\ninterface = \"lo\"\n")
		s.wrap = slices.Concat(own, []string{"setpriv", "--bounding-set=-all", "--inh-caps=-all"})
		s.start()
		s.requireTold("a missing capability", bus.EBPFEngine, "the process has no CAP_BPF", false)
		s.stop(syscall.SIGTERM)
		s.wrap = own
		s.start()
		s.requireMended("a missing capability", bus.EBPFEngine, "no packet is watched")
	})
	t.Run("no egress", func(t *testing.T) {
		l := newLab(t)
		full := l.fillEgress(l.victim, "wan")
		s := newInstance(t)
		s.wrap = inNamespace(l.victim)
		s.enableEngine("interface = \"wan\"\n")
		s.start()
		s.requireTold("an engine without egress", bus.EBPFEngine, "responses are not seen: wan: attach to egress", false)
		require.Zero(t, s.stop(syscall.SIGTERM))
		full()
		s.start()
		s.requireMended("an engine without egress", bus.EBPFEngine, "attach to egress")
	})
	t.Run("lag", func(t *testing.T) {
		s := newInstance(t)
		s.replace("[bus]", "[bus]\nmax_store_bytes = 67108864\nalerts_in_flight = 16")
		s.replace("[log_pipeline]", fmt.Sprintf("[container]\nenabled = true\ndocker_socket = %q\n[log_pipeline]", s.path("no-docker.sock")))
		remote := s.listen(remoteGuard, edgePipeline)
		s.start()
		edge := newEdge(t, remote.connect(edgePipeline))
		release := s.stallGuardDurable(remote.connect(remoteGuard))
		stop, done := make(chan struct{}), make(chan struct{})
		go func() { defer close(done); edge.publish(4*alertsPerStream, stop) }()
		w := s.startLoad(5 * time.Millisecond)
		s.requireTold("lag of a source", bus.LogPipeline, "s behind: its lines wait", true)
		w.stop()
		close(stop)
		release()
		<-done
		s.requireMended("lag of a source", bus.LogPipeline, "s behind: its lines wait")
	})
	t.Run("evictions", func(t *testing.T) {
		s := newInstance(t)
		s.start()
		var lines bytes.Buffer
		for i := range 120_000 {
			lines.WriteString(guessBy(fmt.Sprintf("100.%d.%d.%d", 64+i/62_500, i/250%250, i%250+1)))
		}
		s.append(lines.Bytes())
		s.requireTold("evictions", bus.LogPipeline, "correlations had too many groups and dropped some", true)
	})
	t.Run("waiting answers", func(t *testing.T) {
		f := newGuardSetup(t, wideCaps, "[[policy]]\nid = \"ask\"\nactions = [\"isolate\"]\napprove = true\n[policy.match]\nseverity = \"high\"\n")
		id := f.runContainers(1)[0]
		f.publish(f.alert(byID(id)))
		f.requireTold("waiting answers", bus.ContainerGuard, "steps of policies wait for", true)
	})
	t.Run("full caps", func(t *testing.T) {
		f := newGuardSetup(t, "max_blocks = 1", "[[policy]]\nid = \"block\"\nactions = [\"block-source\"]\n[policy.match]\nseverity = \"high\"\n")
		for i := range 3 {
			f.publish(f.alert(func(a *event.Alert) { a.Source = &event.Endpoint{IP: fmt.Sprintf("198.51.100.%d", i+1)} }))
		}
		f.requireTold("a full cap", bus.ContainerGuard, "blocks were refused", true)
	})
}
