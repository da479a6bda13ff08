package attach

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Link is the program on one interface. Its methods are for one goroutine.
type Link struct {
	link link.Link
	path string

	// Interface is as it was when the program was attached; its Mode is where it runs.
	Interface Interface
	// Adopted says that a pinned link was taken over: no packet passed unseen.
	Adopted bool
	// Fallback says why the mode is not the one wished for first, "" if it is.
	Fallback string
	// Unpinned says why the link does not outlive the process, "" if it does.
	Unpinned string
}

// XDP attaches program to the interface. A link that pins holds for it is taken over in
// one step if its mode is the wanted one. ErrForeign names the program that is in the
// way.
func (p Pins) XDP(on Interface, want Mode, program *ebpf.Program) (*Link, error) {
	if !on.Ethernet {
		return nil, fmt.Errorf("%s has no Ethernet header, only such interfaces can be watched: %w", on.Name, ErrUnsupported)
	}
	l, err := p.adopt(on, want, program)
	if l != nil || err != nil {
		return l, err
	}
	if owner := ownerOf(on.Index); owner != nil {
		return nil, fmt.Errorf("%s: %w", on.Name, owner)
	}
	l, err = attachXDP(on, want, program)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", on.Name, err)
	}
	l.pin(p)
	return l, nil
}

func (l *Link) pin(p Pins) {
	if p.dir == "" {
		l.Unpinned = "there is no folder for pins"
		return
	}
	path := p.linkPath(l.Interface.Index)
	if err := l.link.Pin(path); err != nil {
		l.Unpinned = err.Error()
		return
	}
	l.path = path
}

// adopt takes over the pinned link of on; nil if there is none of use.
func (p Pins) adopt(on Interface, want Mode, program *ebpf.Program) (*Link, error) {
	if p.dir == "" {
		return nil, nil
	}
	path := p.linkPath(on.Index)
	pinned, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: pinned link %s: %w", on.Name, path, err)
	}
	now, alive, err := onto(pinned, on.Index)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: pinned link %s: %w", on.Name, path, err), pinned.Close())
	}
	if !alive || want != AnyMode && want != now.Mode {
		return nil, errors.Join(os.Remove(path), pinned.Close())
	}
	if err := pinned.Update(program); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: exchange the program of pinned link %s: %w", on.Name, path, err), pinned.Close())
	}
	on.Mode = now.Mode
	l := &Link{link: pinned, path: path, Interface: on, Adopted: true}
	if want == AnyMode && now.Mode != Native {
		l.Fallback = "taken over in this mode"
	}
	return l, nil
}

// onto returns interface index, and whether the pinned link is one on it: the interface
// may have gone, and another have got its index. With an error nobody knows.
func onto(pinned link.Link, index int) (now Interface, alive bool, err error) {
	info, err := pinned.Info()
	if err != nil {
		return Interface{}, false, err
	}
	if info.XDP() == nil || int(info.XDP().Ifindex) != index {
		return Interface{}, false, nil
	}
	now, err = byIndex(index)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return Interface{}, false, nil
	}
	return now, err == nil && now.ProgramID == uint32(info.Program), err
}

// attachXDP tries the modes that want allows. Why the first was refused is kept.
func attachXDP(on Interface, want Mode, program *ebpf.Program) (*Link, error) {
	var refused []error
	for _, mode := range modes(want) {
		l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: on.Index, Flags: flagOf(mode)})
		if err == nil {
			on.Mode = mode
			return &Link{link: l, Interface: on, Fallback: text(errors.Join(refused...))}, nil
		}
		refused = append(refused, fmt.Errorf("XDP mode %s: %w", mode, err))
	}
	if owner := ownerOf(on.Index); owner != nil { // came meanwhile
		return nil, owner
	}
	return nil, errors.Join(refused...)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func modes(want Mode) []Mode {
	if want == AnyMode {
		return []Mode{Native, SKB}
	}
	return []Mode{want}
}

func flagOf(m Mode) link.XDPAttachFlags {
	switch m {
	case Native:
		return link.XDPDriverMode
	case HW:
		return link.XDPOffloadMode
	default:
		return link.XDPGenericMode
	}
}

// ownerOf returns an ErrForeign that names the program on interface index, nil if there is none.
func ownerOf(index int) error {
	now, err := byIndex(index)
	if owned := err == nil && now.ProgramID != 0; !owned {
		return nil
	}
	name := "?"
	if program, err := ebpf.NewProgramFromID(ebpf.ProgramID(now.ProgramID)); err == nil {
		if info, err := program.Info(); err == nil {
			name = info.Name
		}
		_ = program.Close() // a descriptor of ours
	}
	return fmt.Errorf("%w: %q, id %d, mode %s; detach it (bpftool net, ip link set dev … xdp off) or leave this interface out",
		ErrForeign, name, now.ProgramID, now.Mode)
}

// Attached tells whether the program still is on the interface it was attached to.
func (l *Link) Attached() bool {
	info, err := l.link.Info()
	return err == nil && info.XDP() != nil && int(info.XDP().Ifindex) == l.Interface.Index
}

// Close gives the link up without detaching a pinned one: it stays in force.
func (l *Link) Close() error { return l.link.Close() }

// Detach ends the link and removes its pin.
func (l *Link) Detach() error {
	if l.path == "" {
		return l.link.Close()
	}
	return errors.Join(os.Remove(l.path), l.link.Close())
}

// RemoveExcept detaches what is pinned for interfaces that are not in keep, such as those of a
// former configuration, and returns how many there were.
func (p Pins) RemoveExcept(keep []Interface) (int, error) {
	indexes, err := p.indexes()
	if err != nil {
		return 0, err
	}
	var errs []error
	gone := 0
	for _, index := range indexes {
		if slices.ContainsFunc(keep, func(i Interface) bool { return i.Index == index }) {
			continue
		}
		gone++
		errs = append(errs, os.Remove(p.linkPath(index)))
	}
	return gone, errors.Join(errs...)
}
