//go:build accept

package e2e_test

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// Long runs behind `make accept-ebpf-engine`. Each prints its number and its limit ("bar").

// A scan of 30 ports, one every 15 s, is detected before it ends.
func TestEngineSlowScan(t *testing.T) {
	l := newLab(t)
	s := newEngineInstance(t, l)
	began := time.Now()
	line := inNamespace(l.attacker, "nmap", "-sS", "-T1", "-n", "-Pn", "-p", "1-30", victim4)
	scan := exec.CommandContext(t.Context(), line[0], line[1:]...) // it lasts longer than its detection takes
	require.NoError(t, scan.Start())
	t.Cleanup(func() { _ = scan.Wait() }) // killed
	var found event.Alert
	require.Eventually(t, func() bool {
		for _, a := range s.alerts() {
			if sourceOf(&a) == attacker4 && targetOf(&a) == victim4 {
				found = a
				return true
			}
		}
		return false
	}, 10*time.Minute, time.Second)
	t.Logf("nmap -T1 -p 1-30 detected as %s after %v (bar: before it ends, 7.5 min)", found.Title, time.Since(began).Round(time.Second))
	require.Equal(t, "Slow Scan", found.Rule.Title)
}

// urgentInstance is a daemon in the victim's namespace with a high priority: other programs on
// the machine must not distort the measurement.
func urgentInstance(t *testing.T, l *lab) *instance {
	t.Helper()
	s := newInstance(t)
	s.wrap = append([]string{"nice", "-n", strconv.Itoa(urgent)}, inNamespace(l.victim)...)
	s.enableEngine("")
	s.start()
	return s
}

// Measures the time from the put into the bucket to the last packet that passes.
func TestEngineBlockDelay(t *testing.T) {
	const rounds = 300
	l := newLab(t)
	s := urgentInstance(t, l)
	delays := blockDelays(t, s.blocklist(), l.newFlow(attacker4), rounds)
	p99 := delays[rounds*99/100-1]
	t.Logf("put to last packet through, %d times: median %v, p99 %v, most %v (bar of p99 %v)", rounds, delays[rounds/2], p99, delays[rounds-1], blockDelay)
	require.LessOrEqual(t, p99, blockDelay)
}

const (
	floodFor    = 60 * time.Second
	floodRate   = 1_000_000 // packets a second, at least
	messageRate = 600
	cpuShare    = 0.04
	detectIn    = 1500 * time.Millisecond
	errorShare  = 0.10
	growth      = 8 << 20
	memory      = 60 * 1000 * 1000 // at rest
	urgent      = -10              // nice
)

// A minute of SYN packets from random sources, at least a million a second.
func TestEngineUnderFlood(t *testing.T) {
	l := newLab(t)
	s := urgentInstance(t, l)
	program, frame := l.generator()
	s.waitUntilPublishing()
	cpu, began := s.cpu(), time.Now()
	var early, late resident
	sent := l.flood(program, frame, func() {
		switch at := time.Since(began); {
		case at > floodFor*2/3:
			late = larger(late, s.resident())
		case at > floodFor/3:
			early = larger(early, s.resident())
		}
	})
	lasted, used := time.Since(began), s.cpu()-cpu

	t.Logf("the daemon, bus and log pipeline included, took %.1f %% of a core (bar %.0f %%)", 100*used.Seconds()/lasted.Seconds(), 100*cpuShare)
	t.Logf("resident in the second third: %v; in the last: %v (bar of the growth %+.1f MB)", early, late, float64(growth)/1e6)
	seen := s.checkFlood(t, s.packets(began, time.Now()), began)
	rate := float64(seen) / lasted.Seconds()
	t.Logf("sent %d in %v, seen %d, the rest met a full queue: %.2f Mpps (bar %.2f)", sent, lasted.Round(time.Millisecond), seen, rate/1e6, floodRate/1e6)
	t.Logf("a packet takes %d ns in the program, as the kernel times it (which costs as much again)", s.counter("ebpf-engine", "program_ns:wan"))
	require.GreaterOrEqual(t, rate, float64(floodRate))
	require.LessOrEqual(t, used.Seconds()/lasted.Seconds(), cpuShare)
	require.LessOrEqual(t, late.total()-early.total(), int64(growth))
}

// checkFlood checks the records on the bus and returns how many packets their windows counted.
func (s *instance) checkFlood(t *testing.T, records []storedPacket, began time.Time) uint64 {
	t.Helper()
	perSecond := map[int64]int{}
	var first time.Time
	var seen uint64
	worst, lost := 0.0, uint64(0)
	for _, r := range records {
		perSecond[r.at.Unix()]++
		p := r.packet
		lost += p.Lost
		if p.Kind == event.Detection && first.IsZero() {
			first = r.at
			require.Equal(t, "syn_flood", p.Detection.Name)
			require.Equal(t, "spoofed", p.Detection.Actor)
			require.Equal(t, victim4, p.Detection.Target.IP)
		}
		if w := p.Window; w != nil {
			seen += w.Packets
			if w.Classes["tcp_syn"] > floodRate/4 { // nearly every packet has a source of its own
				worst = max(worst, math.Abs(float64(w.Sources)/float64(w.Classes["tcp_syn"])-1))
			}
		}
	}
	most := 0
	for _, n := range perSecond {
		most = max(most, n)
	}
	t.Logf("messages: %d, at most %d in a second (bar %d)", len(records), most, messageRate)
	t.Logf("detected after %v (bar %v)", first.Sub(began).Round(time.Millisecond), detectIn)
	t.Logf("distinct sources estimated within %.1f %% (bar %.0f %%); samples lost %d", 100*worst, 100*errorShare, lost)
	require.LessOrEqual(t, most, messageRate)
	require.LessOrEqual(t, first.Sub(began), detectIn)
	require.LessOrEqual(t, worst, errorShare)
	return seen
}

// generator returns a program that gives a frame a random source and sends it to the victim, and the frame. Its
// checksum is wrong: the victim's stack drops it behind XDP, and only the engine is measured.
func (l *lab) generator() (*ebpf.Program, []byte) {
	l.t.Helper()
	var out, in *net.Interface
	var err error
	l.enter(l.router, func() { out, err = net.InterfaceByName("right") })
	require.NoError(l.t, err)
	l.enter(l.victim, func() { in, err = net.InterfaceByName("wan") })
	require.NoError(l.t, err)
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 0, asm.Word), // data
		asm.LoadMem(asm.R7, asm.R1, 4, asm.Word), // data_end
		asm.Mov.Reg(asm.R1, asm.R6), asm.Add.Imm(asm.R1, 30),
		asm.JGT.Reg(asm.R1, asm.R7, "drop"),
		asm.FnGetPrandomU32.Call(),
		asm.StoreMem(asm.R6, 26, asm.R0, asm.Word),
		asm.Mov.Imm(asm.R1, int32(out.Index)), asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(), asm.Return(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("drop"), asm.Return(),
	}})
	require.NoError(l.t, err)
	l.t.Cleanup(func() { require.NoError(l.t, p.Close()) })
	frame := slices.Concat(in.HardwareAddr, out.HardwareAddr, []byte{8, 0})
	frame = append(frame, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 0, 0, 0, 0)
	frame = append(frame, netip.MustParseAddr(victim4).AsSlice()...)
	frame = append(frame, 0xc3, 0x50, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0)
	return p, append(frame, make([]byte, 6)...)
}

// flood runs the program on live frames (kernel documentation, bpf_prog_run) for floodFor on every CPU, calls each every
// second, and returns how many frames it sent.
func (l *lab) flood(p *ebpf.Program, frame []byte, each func()) int {
	l.t.Helper()
	var sent atomic.Int64
	var g errgroup.Group
	end := time.Now().Add(floodFor)
	for range runtime.NumCPU() {
		g.Go(func() (err error) {
			l.enter(l.router, func() {
				if err = unix.Setpriority(unix.PRIO_PROCESS, 0, urgent); err == nil {
					err = sendFrames(p, frame, end, &sent)
				}
			})
			return err
		})
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for time.Now().Before(end) {
		<-ticker.C
		each()
	}
	require.NoError(l.t, g.Wait())
	return int(sent.Load())
}

func sendFrames(p *ebpf.Program, frame []byte, end time.Time, sent *atomic.Int64) error {
	const (
		liveFrames = 1 << 1 // BPF_F_TEST_XDP_LIVE_FRAMES
		frames     = 1 << 16
	)
	for time.Now().Before(end) {
		if _, err := p.Run(&ebpf.RunOptions{Data: frame, Repeat: frames, Flags: liveFrames, BatchSize: 64}); err != nil {
			return err
		}
		sent.Add(frames)
	}
	return nil
}

// storedPacket is a record and when the bus stored it.
type storedPacket struct {
	at     time.Time
	packet event.Packet
}

// packets returns the records published since, up to a window that ended after until.
func (s *instance) packets(since, until time.Time) []storedPacket {
	s.t.Helper()
	var out []storedPacket
	s.eventually(func() bool {
		out = s.history(since)
		return slices.ContainsFunc(out, func(r storedPacket) bool { return r.packet.Kind == event.Window && r.packet.Time.After(until) })
	})
	return out
}

func (s *instance) history(since time.Time) []storedPacket {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	conn, err := bus.DialSocket(ctx, s.path("bus.sock"))
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, conn.Close(ctx)) }()
	var out []storedPacket
	require.NoError(s.t, conn.History(ctx, bus.Packets, bus.HistoryOptions{Since: since}, func(d bus.Delivery) bool {
		r := storedPacket{at: d.StoredAt}
		require.NoError(s.t, event.Decode(d.Data, &r.packet))
		out = append(out, r)
		return true
	}))
	return out
}

// waitUntilPublishing waits until the engine has published some records.
func (s *instance) waitUntilPublishing() {
	s.t.Helper()
	s.eventually(func() bool { return s.counter("ebpf-engine", "published") > 3 })
}

// proc reads a file of the daemon in /proc. nsenter has replaced itself with the daemon.
func (s *instance) proc(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.daemon.Process.Pid, name))
	require.NoError(s.t, err)
	return string(b)
}

// cpu returns the CPU time of the daemon so far (proc(5), stat: utime and stime).
func (s *instance) cpu() time.Duration {
	s.t.Helper()
	_, rest, _ := strings.Cut(s.proc("stat"), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		require.NoError(s.t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
}

// resident is a process's resident memory in bytes: its own, and pages of its program and of the kernel's maps.
type resident struct{ anonymous, file int64 }

func (r resident) total() int64 { return r.anonymous + r.file }

func (r resident) String() string {
	return fmt.Sprintf("%.1f MB (%.1f anonymous, %.1f of the program and of maps)", float64(r.total())/1e6, float64(r.anonymous)/1e6, float64(r.file)/1e6)
}

// resident returns the resident memory of the daemon (proc_pid_status(5)).
func (s *instance) resident() resident {
	s.t.Helper()
	var r resident
	_, err := fmt.Sscanf(s.status("RssAnon"), "%d kB", &r.anonymous)
	require.NoError(s.t, err)
	_, err = fmt.Sscanf(s.status("RssFile"), "%d kB", &r.file)
	require.NoError(s.t, err)
	return resident{r.anonymous << 10, r.file << 10}
}

// status returns a field of the daemon's status.
func (s *instance) status(name string) string {
	s.t.Helper()
	_, rest, found := strings.Cut(s.proc("status"), "\n"+name+":")
	require.True(s.t, found, name)
	value, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(value)
}

// larger returns the one of a and b with more memory.
func larger(a, b resident) resident {
	if b.total() > a.total() {
		return b
	}
	return a
}
