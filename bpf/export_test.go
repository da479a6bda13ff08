package bpf

import (
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
		return model.Packet{Outcome: model.Malformed, Reason: traffic.Reason(p.Result - 1), SourcePort: p.Sport, TargetPort: p.Dport}, nil
	}
}
