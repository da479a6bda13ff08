package bpf

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"unsafe"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// collectOutgoing reads and clears the egress program's counts of a bank, and sums those of all CPUs. Without that program there are
// none.
func (e *Engine) collectOutgoing(bank uintptr) ([]traffic.Outgoing, error) {
	e.mu.Lock()
	records := e.outgoing
	e.mu.Unlock()
	if records.Memory == nil {
		return nil, nil
	}
	sums := map[netip.Addr]*traffic.Outgoing{}
	for cpu := range e.cpus {
		if err := collectOutgoingCPU(records, uintptr(cpu)*unsafe.Sizeof(egressOutgoingState{}), bank, sums); err != nil {
			return nil, fmt.Errorf("read the outgoing packets of cpu %d: %w", cpu, err)
		}
	}
	out := make([]traffic.Outgoing, 0, len(sums))
	for _, o := range sums {
		slices.SortFunc(o.TopPorts, func(a, b traffic.PortCount) int { return cmp.Compare(b.Packets, a.Packets) })
		out = append(out, *o)
	}
	slices.SortFunc(out, func(a, b traffic.Outgoing) int {
		return cmp.Or(cmp.Compare(b.Packets(), a.Packets()), a.Addr.Compare(b.Addr))
	})
	return out, nil
}

func collectOutgoingCPU(m memory, base, bank uintptr, sums map[netip.Addr]*traffic.Outgoing) error {
	var layout egressOutgoingState
	var tags, freeTags [len(layout.Tag[0])]uint32
	tagsAt := base + unsafe.Offsetof(layout.Tag) + bank*unsafe.Sizeof(tags)
	if err := load(m, tagsAt, &tags); err != nil {
		return err
	}
	if tags == freeTags {
		return nil
	}
	if err := store(m, tagsAt, &freeTags); err != nil {
		return err
	}
	for i, tag := range tags {
		if tag == 0 {
			continue
		}
		var r egressOutgoingTarget
		if err := load(m, base+unsafe.Offsetof(layout.Target)+bank*unsafe.Sizeof(layout.Target[0])+uintptr(i)*unsafe.Sizeof(r), &r); err != nil {
			return err
		}
		addOutgoing(sums, &r)
	}
	return nil
}

func addOutgoing(sums map[netip.Addr]*traffic.Outgoing, r *egressOutgoingTarget) {
	addr := fromKernelAddr(programAddr(r.Addr))
	o := sums[addr]
	if o == nil {
		const hashes = 32
		o = &traffic.Outgoing{Addr: addr, Senders: make(traffic.Registers, hashes)}
		sums[addr] = o
	}
	if n := uint64(r.Syn) + uint64(r.Udp) + uint64(r.Icmp); n >= o.Packets() {
		o.Proto, o.Port = uint8(r.Proto), r.Port
		o.Sender = netip.AddrPortFrom(fromKernelAddr(programAddr(r.Source)), r.SourcePort)
	}
	o.Bytes += r.Bytes
	o.SYN += uint64(r.Syn)
	o.Completed += uint64(r.Completed)
	o.UDP += uint64(r.Udp)
	o.ICMP += uint64(r.Icmp)
	for i := range o.Senders {
		o.Senders[i] |= uint8(r.Sources >> i & 1)
	}
	for _, p := range r.TopPorts {
		if p.Packets > 0 {
			o.TopPorts = addPort(o.TopPorts, p.Port, p.Packets)
		}
	}
}
