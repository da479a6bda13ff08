package bpf

import (
	"errors"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/ironpost/ironpost/bpf/model"
	"github.com/ironpost/ironpost/bpf/traffic"
)

// RandomSources gives each packet one of n random IPv4 sources, a power of two.
func (o Options) RandomSources(n uint32) Options {
	o.randomSources = n
	return o
}

// LastStep ends the program after a step: 1 parse, 2 lists, 3 targets.
func (o Options) LastStep(step uint32) Options {
	o.lastStep = step
	return o
}

// LoadSpec returns the programs in the committed objects.
func LoadSpec() (program, egress *ebpf.CollectionSpec, err error) {
	if program, err = loadProgram(); err != nil {
		return nil, nil, err
	}
	egress, err = loadEgress()
	return program, egress, err
}

// LoadCutSpec returns the programs that cut egress.
func LoadCutSpec() (*ebpf.CollectionSpec, error) { return loadCut() }

// ForgetCPU makes the engine look as if it had been loaded with one CPU less.
func (e *Engine) ForgetCPU() { e.cpus-- }

// LastParsed returns the parser's result for the latest frame, on a replay engine.
func (e *Engine) LastParsed() (model.Packet, error) {
	var p programPacket
	if err := load(e.states, unsafe.Offsetof(programState{}.Packet), &p); err != nil {
		return model.Packet{}, err
	}
	switch p.Result {
	case 0:
		return model.Packet{
			Source: fromKernelAddr(p.Src), Target: fromKernelAddr(p.Dst), SourcePort: p.Sport, TargetPort: p.Dport, VLAN: p.Vlan, Proto: p.Proto,
			Flags: p.Flags, Class: traffic.Class(p.Class), Fragment: p.Fragment != 0, Tiny: p.Tiny != 0, Bytes: p.Bytes,
		}, nil
	case 255:
		return model.Packet{Outcome: model.NotIP, Class: traffic.NonIP, VLAN: p.Vlan, Bytes: p.Bytes}, nil
	default:
		out := model.Packet{Outcome: model.Malformed, Reason: traffic.Reason(p.Result - 1), SourcePort: p.Sport, TargetPort: p.Dport}
		if out.Reason > traffic.CutIP { // the source was read
			out.Source = fromKernelAddr(p.Src)
		}
		return out, nil
	}
}

// IndexInKernel reports whether the kernel's tables are those of the index.
func (f *Filter) IndexInKernel() (bool, error) {
	var have programFilter
	bloom := make([]uint64, len(f.index.bloom))
	_, err := f.bloom.ReadAt(sliceBytes(bloom), 0)
	if err := errors.Join(err, load(f.filter, 0, &have)); err != nil {
		return false, err
	}
	want := &f.mirror
	same := have.Prefix4 == want.prefix4 && have.Prefix32 == want.prefix32 && have.Prefix48 == want.prefix48 &&
		have.AllowPrefix4 == want.allowPrefix4 && have.AllowPrefix32 == want.allowPrefix32 && have.AllowPrefix48 == want.allowPrefix48 &&
		have.AllowBloom == want.allowBloom && have.NetLengths4 == f.index.netLengths4.all() &&
		have.NetLengths32 == f.index.netLengths32.all() && have.NetLengths48 == f.index.netLengths48.all()
	return same && slices.Equal(bloom, f.index.bloom), nil
}

// all returns the lengths in the kernel's format.
func (n *netLengths) all() (list [coarseBits]uint32) {
	for i, held := range n.held {
		list[i] = packLengths(held)
	}
	return list
}

// SetAllBits sets every bit of the kernel's tables, as if removed entries had left them.
func (f *Filter) SetAllBits() error {
	ones := slices.Repeat([]byte{0xff}, int(unsafe.Sizeof(programFilter{})-unsafe.Offsetof(programFilter{}.Prefix4)))
	_, err := f.filter.WriteAt(ones, int64(unsafe.Offsetof(programFilter{}.Prefix4)))
	_, errBloom := f.bloom.WriteAt(slices.Repeat([]byte{0xff}, 8*len(f.index.bloom)), 0)
	return errors.Join(err, errBloom)
}
