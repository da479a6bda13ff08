package bpf

import (
	"errors"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/ironpost/ironpost/bpf/model"
	"github.com/ironpost/ironpost/bpf/traffic"
)

// Scatter makes the program take each packet for one of n random IPv4 sources, a power of two.
func (o Options) Scatter(n uint32) Options {
	o.spread = n
	return o
}

// Until ends the program after a step: 1 parse, 2 lists, 3 counters, 4 target.
func (o Options) Until(step uint32) Options {
	o.depth = step
	return o
}

// LoadSpec returns what is in the committed objects.
func LoadSpec() (program, egress *ebpf.CollectionSpec, err error) {
	if program, err = loadProgram(); err != nil {
		return nil, nil, err
	}
	egress, err = loadEgress()
	return program, egress, err
}

// Unplug has the engine believe that it was loaded while there was one CPU less.
func (e *Engine) Unplug() { e.cpus-- }

// LastParsed returns what the program's parser made of the latest frame, on a replay engine.
func (e *Engine) LastParsed() (model.Packet, error) {
	var p programPacket
	if err := load(e.states, unsafe.Offsetof(programState{}.Packet), &p); err != nil {
		return model.Packet{}, err
	}
	switch p.Result {
	case 0:
		return model.Packet{
			Source: fromWire(p.Src), Target: fromWire(p.Dst), SourcePort: p.Sport, TargetPort: p.Dport, VLAN: p.Vlan, Proto: p.Proto,
			Flags: p.Flags, Class: traffic.Class(p.Class), Fragment: p.Fragment != 0, Tiny: p.Tiny != 0, Bytes: p.Bytes,
		}, nil
	case 255:
		return model.Packet{Outcome: model.NotIP, Class: traffic.NonIP, VLAN: p.Vlan, Bytes: p.Bytes}, nil
	default:
		out := model.Packet{Outcome: model.Malformed, Reason: traffic.Reason(p.Result - 1), SourcePort: p.Sport, TargetPort: p.Dport}
		if out.Reason > traffic.CutIP { // as the program takes it
			out.Source = fromWire(p.Src)
		}
		return out, nil
	}
}

// InKernel reports whether the kernel's tables are what user space has counted.
func (f *Filter) InKernel() (bool, error) {
	var have programFilter
	bloom := make([]uint64, len(f.index.bloom))
	_, err := f.bloom.ReadAt(rawSlice(bloom), 0)
	if err := errors.Join(err, load(f.filter, 0, &have)); err != nil {
		return false, err
	}
	want := f.mirror
	same := have.Near4 == want.Near4 && have.Near6 == want.Near6 && have.Prefix4 == want.Prefix4 && have.Prefix6 == want.Prefix6 &&
		have.AllowPrefix4 == want.AllowPrefix4 && have.AllowPrefix6 == want.AllowPrefix6 && have.Allowed == want.Allowed
	return same && slices.Equal(bloom, f.index.bloom), nil
}

// Scribble sets every bit of the kernel's tables, as if removed entries had left them.
func (f *Filter) Scribble() error {
	ones := slices.Repeat([]byte{0xff}, int(unsafe.Sizeof(programFilter{})-unsafe.Offsetof(programFilter{}.Prefix4)))
	_, err := f.filter.WriteAt(ones, int64(unsafe.Offsetof(programFilter{}.Prefix4)))
	_, errBloom := f.bloom.WriteAt(slices.Repeat([]byte{0xff}, 8*len(f.index.bloom)), 0)
	return errors.Join(err, errBloom)
}
