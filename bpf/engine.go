package bpf

import (
	"cmp"
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

// ErrNoEgress is returned where the kernel has no TCX (before 6.6), so that outgoing packets are not seen.
var ErrNoEgress = errors.New("kernel has no tcx")

// Options are the options of the program of one interface.
type Options struct {
	// Interface is the name in the windows; nothing is attached to it.
	Interface string
	// Filter holds the allow list and the blocklist. Required.
	Filter *Filter
	// RingBufferSize is in bytes, a power of two that is a multiple of the page size. 0 means 256 KiB.
	RingBufferSize int
	// SamplesPerSecond bounds the samples of all CPUs together. 0 means 512.
	SamplesPerSecond int
	// Gate is how many packets a source sends in a window before it gets a record of its own. 0 means 16. It is divided
	// by the number of CPUs, down to 2, because each CPU counts by itself.
	Gate int
	// Replay is for captures: the time is the one given to Run, one CPU counts, frames of both directions are given to Run,
	// and short frames were cut by the capture. The Filter must be for replay too.
	Replay bool
	// OneWay is for replay of what a host sees: Run is given incoming frames only, and RunEgress outgoing ones.
	OneWay bool

	// randomSources and lastStep are for benchmarks; see src/ironpost.c.
	randomSources, lastStep uint32
}

// Verdict is the result of the program for a packet.
type Verdict uint32

// The verdicts, as in the kernel's enum xdp_action.
const (
	Aborted Verdict = 0
	Drop    Verdict = 1
	Pass    Verdict = 2
)

// Engine is the program of one interface with its counters. Collect, Samples and Run may each be called by one goroutine at a time,
// different ones concurrently.
type Engine struct {
	name    string
	options Options
	replay  bool
	cpus    int
	xdp     *ebpf.Program
	maps    engineMaps
	states  memory
	shared  memory
	ring    *ringbuf.Reader

	epoch    uint32
	start    time.Time
	idle     []idleIntervals
	attached atomic.Bool

	mu       sync.Mutex // guards what follows
	egress   *ebpf.Program
	outgoing memory // the egress program's counts
}

// sharedMap is the map of the C variable shared.
const sharedMap = ".bss"

type engineMaps struct {
	programMaps
	Shared *ebpf.Map `ebpf:".bss"`
}

// Load loads the XDP program and makes the maps of its counters. The error says which feature of the kernel or which privilege is
// missing.
func Load(opts Options) (*Engine, error) {
	if opts.Filter == nil {
		return nil, errors.New("load the packet program: no filter")
	}
	if err := removeMemlock(); err != nil {
		return nil, err
	}
	e, err := newEngine(opts)
	if err != nil {
		return nil, fmt.Errorf("load the packet program: %w", explain(err))
	}
	return e, nil
}

func newEngine(opts Options) (*Engine, error) {
	cpus, err := countCPUs(opts)
	if err != nil {
		return nil, err
	}
	spec, err := programSpec(opts, cpus)
	if err != nil {
		return nil, err
	}
	e := &Engine{name: opts.Interface, options: opts, replay: opts.Replay, cpus: cpus, idle: make([]idleIntervals, cpus)}
	if err := e.load(spec, opts.Filter); err != nil {
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

// countCPUs returns for how many CPUs to make a state: up to the highest that is online. Virtual machines claim hundreds of possible
// CPUs.
func countCPUs(opts Options) (int, error) {
	if opts.Replay {
		return 1, nil
	}
	list, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return ebpf.PossibleCPU()
	}
	last := strings.TrimSpace(string(list)) // such as "0-3,6"
	highest, err := strconv.Atoi(last[strings.LastIndexAny(last, ",-")+1:])
	if err != nil {
		return runtime.NumCPU(), nil //nolint:nilerr // another format: take those of this process
	}
	return highest + 1, nil
}

// CPUsAdded reports whether CPUs came online that the program has no state for. They share the state of others, which mixes up
// packets: load another Engine instead.
func (e *Engine) CPUsAdded() bool {
	cpus, err := countCPUs(Options{Replay: e.replay})
	return err == nil && cpus > e.cpus
}

// The defaults of Options, and the least gate.
const (
	defaultRing    = 256 << 10
	defaultSamples = 512
	defaultGate    = 16
	minGate        = 2
)

// programSpec returns the program with its map sizes and constants.
func programSpec(opts Options, cpus int) (*ebpf.CollectionSpec, error) {
	spec, err := loadProgram()
	if err != nil {
		return nil, err
	}
	for name, m := range opts.Filter.maps.named() {
		spec.Maps[name].MaxEntries = (*m).MaxEntries()
	}
	spec.Maps[programMapStates].MaxEntries = uint32(cpus)
	spec.Maps[programMapRing].MaxEntries = uint32(cmp.Or(opts.RingBufferSize, defaultRing))
	gate := cmp.Or(opts.Gate, defaultGate)
	return spec, errors.Join(setConstants(spec, sharedConstants(opts, cpus)), setConstants(spec, map[string]any{
		programVarMask6:         masks6(),
		programVarBloomMask:     uint32(opts.Filter.mirror.bloomWords - 1),
		programVarBothWays:      opts.Replay && !opts.OneWay,
		programVarGate:          uint32(max(gate/cpus, min(gate, minGate))),
		programVarRandomSources: opts.randomSources,
		programVarLastStep:      opts.lastStep,
	}))
}

// sharedConstants returns the constants that both programs have.
func sharedConstants(opts Options, cpus int) map[string]any {
	perCPU := max(1, cmp.Or(opts.SamplesPerSecond, defaultSamples)/cpus)
	return map[string]any{
		programVarSeed:           opts.Filter.mirror.seed,
		programVarReplay:         opts.Replay,
		programVarCpus:           uint32(cpus),
		programVarSampleInterval: uint32(time.Second) / uint32(perCPU),
		programVarSampleBurst:    uint32(time.Second / 4),
	}
}

func setConstants(spec *ebpf.CollectionSpec, values map[string]any) error {
	for name, value := range values {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// multiBuffer is BPF_F_XDP_HAS_FRAGS (Linux 5.18): without it drivers refuse the program on interfaces with jumbo frames.
const multiBuffer = 1 << 5

// load loads a program that takes frames in several buffers, or, where that is refused, one that does not.
func (e *Engine) load(spec *ebpf.CollectionSpec, filter *Filter) error {
	single := spec.Copy()
	spec.Programs[programProgIronpost].Flags |= multiBuffer
	shared := map[string]*ebpf.Map{}
	for name, m := range filter.maps.named() {
		shared[name] = *m
	}
	opts := &ebpf.CollectionOptions{MapReplacements: shared}
	var loaded struct {
		engineMaps
		programPrograms
	}
	if err := spec.LoadAndAssign(&loaded, opts); err != nil {
		if err := single.LoadAndAssign(&loaded, opts); err != nil {
			return err
		}
	}
	e.maps, e.xdp = loaded.engineMaps, loaded.Ironpost
	return nil
}

// open maps the counters into memory and opens the ring buffer.
func (e *Engine) open() (err error) {
	if e.states, err = mapMemory(e.maps.States); err != nil {
		return err
	}
	if e.shared, err = mapMemory(e.maps.Shared); err != nil {
		return err
	}
	if e.ring, err = ringbuf.NewReader(e.maps.Ring); err != nil {
		return err
	}
	return e.writeEgress()
}

// XDP returns the program to attach to the interface. Close closes it; while it is attached it stays in force.
func (e *Engine) XDP() *ebpf.Program { return e.xdp }

// Egress returns the program to attach to the interface's TCX egress, which it loads once. The error is ErrNoEgress where the kernel
// has no TCX. Call SetEgressAttached once it is attached.
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
	if err := setConstants(spec, sharedConstants(e.options, e.cpus)); err != nil {
		return nil, err
	}
	spec.Maps[egressMapStates].MaxEntries = uint32(e.cpus)
	spec.Maps[egressMapOutgoing].MaxEntries = uint32(e.cpus)
	spec.Maps[egressMapRing].MaxEntries = e.maps.Ring.MaxEntries()
	var loaded struct {
		egressPrograms
		Outgoing *ebpf.Map `ebpf:"outgoing"`
	}
	err = spec.LoadAndAssign(&loaded, &ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{
		egressMapStates: e.maps.States, egressMapRing: e.maps.Ring, sharedMap: e.maps.Shared,
	}})
	if err != nil {
		return nil, fmt.Errorf("load the egress program: %w", explain(err))
	}
	counts, err := mapMemory(loaded.Outgoing)
	if err = errors.Join(err, loaded.Outgoing.Close()); err != nil { // the program and the memory keep the map
		return nil, errors.Join(err, loaded.ResponsesOut.Close())
	}
	e.egress, e.outgoing = loaded.ResponsesOut, counts
	return e.egress, nil
}

// SetEgressAttached records whether the program of Egress is attached. Collect writes it into the windows, and the XDP program
// tells replies from probes accordingly.
func (e *Engine) SetEgressAttached(attached bool) error {
	e.attached.Store(attached)
	return e.writeEgress()
}

// seesEgress reports whether the programs get outgoing packets.
func (e *Engine) seesEgress() bool { return e.replay && !e.options.OneWay || e.attached.Load() }

// writeEgress tells the program whether outgoing packets are seen.
func (e *Engine) writeEgress() error {
	var flag uint32
	if e.seesEgress() {
		flag = 1
	}
	return store(e.shared, unsafe.Offsetof(programSharedState{}.Control.Egress), &flag)
}

// RunStats returns how often the XDP program ran and how long that took; the kernel counts while kernel.bpf_stats_enabled is set.
func (e *Engine) RunStats() (runs uint64, runtime time.Duration, err error) {
	stats, err := e.xdp.Stats()
	if err != nil {
		return 0, 0, fmt.Errorf("read run statistics: %w", err)
	}
	return stats.RunCount, stats.Runtime, nil
}

// Close closes programs and maps. Attached programs stay in force with their maps.
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
	return errors.Join(append(errs, e.xdp.Close(), e.maps.Close(), e.maps.Shared.Close())...)
}

// removeMemlock lifts the limit on locked memory, which includes maps before Linux 5.11.
func removeMemlock() error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("lift the limit on locked memory: %w", explain(err))
	}
	return nil
}
