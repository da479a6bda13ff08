package bpf

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// freeAfter is after how many windows without a packet a record is free for another address.
const freeAfter = 3

// idleIntervals counts, for the slots of one CPU, the windows without a packet.
type idleIntervals struct {
	source [1024]uint8
	target [256]uint8
}

// windowBuilder sums the records of all CPUs into a traffic.Window.
type windowBuilder struct {
	totals  traffic.Counters
	all     traffic.Registers
	sources map[netip.Addr]*traffic.Source
	targets map[netip.Addr]*traffic.Target
	clock   clock
	end     time.Time
}

// Collect ends the current window at now and returns it. The window began at the previous Collect, or at Load; in replay, at the
// first Run.
func (e *Engine) Collect(now time.Time) (traffic.Window, error) {
	bank := uintptr(e.epoch & 1)
	e.epoch++
	if err := store(e.shared, unsafe.Offsetof(programSharedState{}.Control.Epoch), &e.epoch); err != nil {
		return traffic.Window{}, fmt.Errorf("switch the banks: %w", err)
	}
	w := &windowBuilder{
		all: make(traffic.Registers, len(programCounters{}.Sources)), end: now,
		sources: map[netip.Addr]*traffic.Source{}, targets: map[netip.Addr]*traffic.Target{},
	}
	if !e.replay {
		w.clock = kernelClock(now)
	}
	for cpu := range e.cpus {
		if err := e.collectCPU(cpu, bank, w); err != nil {
			return traffic.Window{}, fmt.Errorf("read the counters of cpu %d: %w", cpu, err)
		}
	}
	outgoing, err := e.collectOutgoing(bank)
	if err != nil {
		return traffic.Window{}, err
	}
	start := e.start
	e.start = now
	return w.finish(traffic.Window{Interface: e.name, Start: start, End: now, Outgoing: outgoing, Egress: e.seesEgress()}), nil
}

// collectCPU reads and clears one CPU's inactive bank, piece by piece: a whole programBank is too large for one value.
func (e *Engine) collectCPU(cpu int, bank uintptr, w *windowBuilder) error {
	base := uintptr(cpu) * unsafe.Sizeof(programState{})
	var counters, empty programCounters
	at := base + unsafe.Offsetof(programState{}.Bank) + bank*unsafe.Sizeof(programBank{})
	if err := load(e.states, at, &counters); err != nil {
		return err
	}
	if err := store(e.states, at, &empty); err != nil {
		return err
	}
	w.addCounters(&counters)
	err := collectRecords(e.states, base+unsafe.Offsetof(programState{}.SourceTag),
		at+unsafe.Offsetof(programBank{}.Source), e.idle[cpu].source[:], w.addSource)
	if err != nil {
		return err
	}
	return collectRecords(e.states, base+unsafe.Offsetof(programState{}.TargetTag),
		at+unsafe.Offsetof(programBank{}.Target), e.idle[cpu].target[:], w.addTarget)
}

// collectRecords calls add with the record of every slot in use of one CPU and bank, and clears the record if add returns true.
// Slots that stay empty are freed, and their record is read once more after that, because a packet may have come meanwhile. tagsAt and
// recordsAt are offsets; idle has the number of slots.
func collectRecords[T programSource | programTarget](m memory, tagsAt, recordsAt uintptr, idle []uint8, add func(*T) bool) error {
	var rec, empty T
	var freeTag uint32
	tags := make([]uint32, len(idle))
	if _, err := m.ReadAt(sliceBytes(tags), int64(tagsAt)); err != nil {
		return err
	}
	for i, tag := range tags {
		if tag == 0 && idle[i] == 0 {
			continue
		}
		at := recordsAt + uintptr(i)*unsafe.Sizeof(rec)
		if err := load(m, at, &rec); err != nil {
			return err
		}
		if add(&rec) {
			idle[i] = 0
			if err := store(m, at, &empty); err != nil {
				return err
			}
			continue
		}
		idle[i]++
		if tag == 0 {
			idle[i] = 0
		}
		if idle[i] < freeAfter {
			continue
		}
		idle[i] = 1
		if err := store(m, tagsAt+uintptr(i)*4, &freeTag); err != nil {
			return err
		}
	}
	return nil
}

func (w *windowBuilder) addCounters(b *programCounters) {
	t := &w.totals
	for c := range t.ByClass {
		t.ByClass[c] += b.Class[c]
		if traffic.Class(c) != traffic.NonIP {
			t.TargetsRefused += b.Class[c]
		}
	}
	t.Bytes += b.Bytes
	t.Dropped.Bytes += b.DroppedBytes
	for r, n := range b.DroppedFor {
		t.DroppedFor[r] += n
		t.Dropped.Packets += n
	}
	t.Monitored.Add(count(b.Monitored))
	t.Allowed.Add(count(b.Allowed))
	for r := range t.Malformed {
		t.Malformed[r] += b.Malformed[r]
	}
	t.Fragmented += b.Fragmented
	t.Candidates += b.Candidates
	t.Sampled += b.Sampled
	t.RingLost += b.RingLost
	t.SourcesRefused += b.SourcesRefused
	w.all.Merge(b.Sources[:])
}

func count(c programCount) traffic.Count { return traffic.Count{Packets: c.Packets, Bytes: c.Bytes} }

// addSource adds the record of a source and reports whether it had a packet.
func (w *windowBuilder) addSource(r *programSource) bool {
	if r.First == 0 {
		return false
	}
	addr, first := fromKernelAddr(r.Addr), w.clock.wallTime(r.First)
	s := w.sources[addr]
	if s == nil {
		s = &traffic.Source{Addr: addr, First: first, Last: w.end}
		w.sources[addr] = s
	}
	s.First = earlier(s.First, first)
	s.VLAN = max(s.VLAN, r.Vlan)
	s.Packets += uint64(r.Before) + addClasses(&s.ByClass, &r.Class)
	s.Bytes += r.Bytes
	s.Probes += uint64(r.Probes)
	s.Replies += uint64(r.Replies)
	s.Refused += uint64(r.Refused)
	s.Answered += uint64(r.Answered)
	s.RSTWithoutACK += uint64(r.RstNoAck)
	s.Completed += uint64(r.Completed)
	s.Fragmented += uint64(r.Fragmented)
	ports, hosts := traffic.Bitmap(r.Ports), traffic.Bitmap(r.Hosts)
	s.Ports.Or(&ports)
	s.Hosts.Or(&hosts)
	s.SamplePorts = append(s.SamplePorts, r.SamplePorts[:min(int(r.NewPorts), len(r.SamplePorts))]...)
	for _, h := range r.SampleHosts[:min(int(r.NewHosts), len(r.SampleHosts))] {
		s.SampleHosts = append(s.SampleHosts, fromKernelAddr(h))
	}
	return true
}

// addTarget adds the record of a target and reports whether it had a packet.
func (w *windowBuilder) addTarget(r *programTarget) bool {
	if r.First == 0 {
		return false
	}
	addr, first, last := fromKernelAddr(r.Addr), w.clock.wallTime(r.First), w.clock.wallTime(max(r.First, r.Last))
	t := w.targets[addr]
	if t == nil {
		t = &traffic.Target{Addr: addr, First: first, Last: last, Sources: make(traffic.Registers, len(r.Sources))}
		w.targets[addr] = t
	}
	t.First, t.Last = earlier(t.First, first), later(t.Last, last)
	t.Packets += addClasses(&t.ByClass, &r.Class)
	t.Bytes += r.Bytes
	t.SYN = t.ByClass[traffic.TCPSYN]
	t.ACKCompleted += uint64(r.Completed)
	t.SYNACKOut += uint64(r.SynackOut)
	t.RSTOut += uint64(r.RstOut)
	t.RSTWithoutACK += uint64(r.RstNoAck)
	t.Fragmented += uint64(r.Fragmented)
	t.Sources.Merge(r.Sources[:])
	t.OtherReplies += uint64(r.OtherReplies)
	for i, n := range r.Slice {
		t.Slices[i] += uint64(n)
	}
	addPorts(t, r)
	addOrigins(t, r)
	return true
}

func addPorts(t *traffic.Target, r *programTarget) {
	for _, p := range r.TopPorts {
		if p.Packets == 0 {
			continue
		}
		t.TopPorts = addPort(t.TopPorts, p.Port, p.Packets)
	}
}

// addPort adds packets to a port of a list.
func addPort(ports []traffic.PortCount, port, packets uint32) []traffic.PortCount {
	at := slices.IndexFunc(ports, func(have traffic.PortCount) bool { return uint32(have.Port) == port })
	if at < 0 {
		at = len(ports)
		ports = append(ports, traffic.PortCount{Port: uint16(port)})
	}
	ports[at].Packets += uint64(packets)
	return ports
}

func addOrigins(t *traffic.Target, r *programTarget) {
	for _, o := range r.Origins {
		if o.Packets == 0 {
			continue
		}
		t.AddOrigin(traffic.Origin{Proto: uint8(o.Id >> 16), Port: uint16(o.Id), Packets: uint64(o.Packets), Size: o.Size, SourceBits: o.Sources})
	}
}

// addClasses adds the packets of each class to sum and returns how many they are.
func addClasses(sum *[traffic.NumClasses]uint64, from *[16]uint32) (packets uint64) {
	for c := range sum {
		sum[c] += uint64(from[c])
		packets += uint64(from[c])
	}
	return packets
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// finish completes into with the sums.
func (w *windowBuilder) finish(into traffic.Window) traffic.Window {
	for _, t := range w.targets {
		for c, n := range t.ByClass {
			w.totals.ByClass[c] += n
		}
		w.totals.Bytes += t.Bytes
		w.totals.Fragmented += t.Fragmented
		w.all.Merge(t.Sources)
	}
	for _, n := range w.totals.ByClass {
		w.totals.Packets += n
	}
	w.totals.Packets += w.totals.Dropped.Packets
	w.totals.Bytes += w.totals.Dropped.Bytes
	for _, n := range w.totals.Malformed {
		w.totals.Packets += n
	}
	into.Totals, into.Lost = w.totals, w.totals.RingLost
	into.SourcesEstimate = w.all.Estimate()
	into.Sampling = uint32(max(1, w.totals.Candidates/max(1, w.totals.Sampled)))
	for _, s := range w.sources {
		s.PortsEstimate, s.HostsEstimate = s.Ports.Estimate(), s.Hosts.Estimate()
		into.Sources = append(into.Sources, *s)
	}
	for _, t := range w.targets {
		t.SourcesEstimate = t.Sources.Estimate()
		slices.SortFunc(t.TopPorts, func(a, b traffic.PortCount) int { return cmp.Compare(b.Packets, a.Packets) })
		slices.SortFunc(t.Origins, func(a, b traffic.Origin) int { return cmp.Compare(b.Packets, a.Packets) })
		into.Targets = append(into.Targets, *t)
	}
	slices.SortFunc(into.Sources, func(a, b traffic.Source) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), a.Addr.Compare(b.Addr))
	})
	slices.SortFunc(into.Targets, func(a, b traffic.Target) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), a.Addr.Compare(b.Addr))
	})
	return into
}
