package bpf

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
)

// ErrNoEgress is returned where the kernel has no TCX (before 6.6), so that answers are not seen.
var ErrNoEgress = errors.New("kernel has no tcx")

// Options is how to load the program of one interface.
type Options struct {
	// Interface is the name written into windows; nothing is attached.
	Interface string
	// Filter is the allow list and blocklist to obey. Required.
	Filter *Filter
	// RingBufferSize is in bytes, a power of two and a multiple of the page size. 0 means 256 KiB.
	RingBufferSize int
	// SamplesPerSecond bounds the samples of all CPUs together. 0 means 512.
	SamplesPerSecond int
	// Gate is how many packets a source sends in an interval before it gets a record of its own. 0 means 16. It is
	// per CPU, so it is divided by the number of CPUs, down to 2.
	Gate int
	// Replay makes time what Run says it is, counts on one CPU, sees both directions in what Run is given, and takes
	// cut packets for cut by the capture. The Filter must be for replay too.
	Replay bool

	// spread and depth are for benchmarks; see src/ironpost.c.
	spread, depth uint32
}

// Verdict is what the program decided.
type Verdict uint32

// The verdicts, as in the kernel's enum xdp_action.
const (
	Aborted Verdict = 0
	Drop    Verdict = 1
	Pass    Verdict = 2
)

// Engine is the program of one interface and what it counts. Collect, Samples and Run may each be called by one
// goroutine at a time, different ones concurrently.
type Engine struct {
	name    string
	replay  bool
	cpus    int
	seed    [4]uint64
	xdp     *ebpf.Program
	maps    programMaps
	states  memory
	control memory
	ring    *ringbuf.Reader

	epoch    uint32
	start    time.Time
	idle     []idleness
	attached atomic.Bool

	mu     sync.Mutex
	egress *ebpf.Program
}

// Load verifies and loads the XDP program and makes the maps of its counters. It fails where the kernel or the rights are
// missing, and says which.
func Load(opts Options) (*Engine, error) {
	if opts.Filter == nil {
		return nil, errors.New("load the packet program: no filter")
	}
	if err := allowMemory(); err != nil {
		return nil, err
	}
	e, err := newEngine(opts)
	if err != nil {
		return nil, fmt.Errorf("load the packet program: %w", explain(err))
	}
	return e, nil
}

func newEngine(opts Options) (*Engine, error) {
	cpus, err := cpusOf(opts)
	if err != nil {
		return nil, err
	}
	spec, err := specOf(opts, cpus)
	if err != nil {
		return nil, err
	}
	e := &Engine{name: opts.Interface, replay: opts.Replay, cpus: cpus, seed: opts.Filter.mirror.Seed, idle: make([]idleness, cpus)}
	if err := e.load(spec, opts); err != nil {
		return nil, err
	}
	if err := e.open(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if !opts.Replay {
		e.start = time.Now()
	}
	return e, nil
}

// cpusOf returns how many states to make. Virtual machines claim hundreds of possible CPUs, so those that are online count.
func cpusOf(opts Options) (int, error) {
	if opts.Replay {
		return 1, nil
	}
	list, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return ebpf.PossibleCPU()
	}
	return highestCPU(string(list)) + 1, nil
}

// CPUsAdded reports whether CPUs came online that the program has no state for. Two of them share one then, and may take one's
// packet for the other's: load another Engine in its place.
func (e *Engine) CPUsAdded() bool {
	cpus, err := cpusOf(Options{Replay: e.replay})
	return err == nil && cpus > e.cpus
}

// highestCPU returns the last number of a list such as "0-3,6".
func highestCPU(list string) int {
	list = strings.TrimSpace(list)
	n, err := strconv.Atoi(list[strings.LastIndexAny(list, ",-")+1:])
	if err != nil {
		return runtime.NumCPU() - 1
	}
	return n
}

// The numbers a program is given when Options leave them out.
const (
	defaultRing    = 256 << 10
	defaultSamples = 512
	defaultGate    = 16
	leastGate      = 2
)

// specOf returns the program with its sizes and constants.
func specOf(opts Options, cpus int) (*ebpf.CollectionSpec, error) {
	spec, err := loadProgram()
	if err != nil {
		return nil, err
	}
	for name, m := range opts.Filter.maps.named() {
		spec.Maps[name].MaxEntries = (*m).MaxEntries()
	}
	spec.Maps[programMapStates].MaxEntries = uint32(cpus)
	spec.Maps[programMapRing].MaxEntries = uint32(or(opts.RingBufferSize, defaultRing))
	perCPU := max(1, or(opts.SamplesPerSecond, defaultSamples)/cpus)
	gate := or(opts.Gate, defaultGate)
	return spec, setConstants(spec, map[string]any{
		programVarSeed:           opts.Filter.mirror.Seed,
		programVarMask6:          masks6(),
		programVarBloomMask:      uint32(opts.Filter.mirror.BloomWords - 1),
		programVarReplay:         opts.Replay,
		programVarCpus:           uint32(cpus),
		programVarGate:           uint32(max(gate/cpus, min(gate, leastGate))),
		programVarSampleInterval: uint32(time.Second) / uint32(perCPU),
		programVarSampleBurst:    uint32(time.Second / 4),
		programVarSpread:         opts.spread,
		programVarDepth:          opts.depth,
	})
}

func setConstants(spec *ebpf.CollectionSpec, values map[string]any) error {
	for name, value := range values {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

func or(value, standard int) int {
	if value == 0 {
		return standard
	}
	return value
}

// multiBuffer is BPF_F_XDP_HAS_FRAGS (Linux 5.18): without it drivers refuse the program on interfaces with jumbo frames.
const multiBuffer = 1 << 5

// load tries a program that takes frames in several buffers, then one that does not.
func (e *Engine) load(spec *ebpf.CollectionSpec, opts Options) error {
	single := spec.Copy()
	spec.Programs[programProgIronpost].Flags |= multiBuffer
	if err := e.loadOne(spec, opts); err == nil {
		return nil
	}
	return e.loadOne(single, opts)
}

func (e *Engine) loadOne(spec *ebpf.CollectionSpec, opts Options) error {
	var loaded struct {
		programMaps
		programPrograms
	}
	shared := map[string]*ebpf.Map{}
	for name, m := range opts.Filter.maps.named() {
		shared[name] = *m
	}
	if err := spec.LoadAndAssign(&loaded, &ebpf.CollectionOptions{MapReplacements: shared}); err != nil {
		return err
	}
	e.maps, e.xdp = loaded.programMaps, loaded.Ironpost
	return nil
}

func (e *Engine) open() (err error) {
	if e.states, err = mapped(e.maps.States); err != nil {
		return err
	}
	if e.control, err = mapped(e.maps.Controls); err != nil {
		return err
	}
	e.ring, err = ringbuf.NewReader(e.maps.Ring)
	return err
}

// XDP returns the program to attach to the interface. It is closed with the Engine; an attached one lives on.
func (e *Engine) XDP() *ebpf.Program { return e.xdp }

// Egress loads (once) and returns the program to attach to the interface's TCX egress. The error is ErrNoEgress where the
// kernel has none. Call SeesEgress once it is attached.
func (e *Engine) Egress() (*ebpf.Program, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.egress != nil {
		return e.egress, nil
	}
	if err := haveTCX(); err != nil {
		return nil, err
	}
	spec, err := loadEgress()
	if err != nil {
		return nil, err
	}
	if err := setConstants(spec, map[string]any{egressVarSeed: e.seed, egressVarCpus: uint32(e.cpus)}); err != nil {
		return nil, err
	}
	spec.Maps[egressMapStates].MaxEntries = uint32(e.cpus)
	var loaded egressPrograms
	err = spec.LoadAndAssign(&loaded, &ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{
		egressMapStates: e.maps.States, egressMapControls: e.maps.Controls, egressMapOutbound: e.maps.Outbound,
	}})
	if err != nil {
		return nil, fmt.Errorf("load the egress program: %w", explain(err))
	}
	e.egress = loaded.AnswersOut
	return e.egress, nil
}

// SetEgressAttached says whether the program of Egress is attached, from now on. Collect writes it into the windows, and the XDP
// program tells answers from probes by it.
func (e *Engine) SetEgressAttached(attached bool) error {
	e.attached.Store(attached)
	var flag uint32
	if attached {
		flag = 1
	}
	return store(e.control, unsafe.Offsetof(programControl{}.Egress), &flag)
}

// RunStats returns how often the XDP program ran and how long that took; the kernel counts while kernel.bpf_stats_enabled is set.
func (e *Engine) RunStats() (runs uint64, runtime time.Duration, err error) {
	stats, err := e.xdp.Stats()
	if err != nil {
		return 0, 0, fmt.Errorf("read run statistics: %w", err)
	}
	return stats.RunCount, stats.Runtime, nil
}

// Close lets go of programs and maps; attached programs live on with theirs.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	if e.ring != nil {
		errs = append(errs, e.ring.Close())
	}
	if e.egress != nil {
		errs = append(errs, e.egress.Close())
	}
	return errors.Join(append(errs, e.xdp.Close(), e.maps.Close())...)
}

// allowMemory lifts the limit on locked memory, which kernels before 5.11 count maps against.
func allowMemory() error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("lift the limit on locked memory: %w", explain(err))
	}
	return nil
}
