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

	// Interface is the interface as it was when the program was attached, with the Mode that the program runs in.
	Interface Interface
	// Adopted says that a pinned link was taken over, so that no packet passed unseen.
	Adopted bool
	// Fallback says why the mode is not the preferred one, "" if it is.
	Fallback string
	// Unpinned says why the link does not outlive the process, "" if it does.
	Unpinned string
}

// XDP attaches program to the interface. A pinned link is taken over in one step if its mode is the wanted one. ErrForeign names
// the program of another owner that is attached.
func (p Pins) XDP(on Interface, want Mode, program *ebpf.Program) (*Link, error) {
	if !on.Ethernet {
		return nil, fmt.Errorf("%s has no Ethernet header, only such interfaces can be watched: %w", on.Name, ErrUnsupported)
	}
	l, err := p.adopt(on, want, program)
	if l != nil || err != nil {
		return l, err
	}
	if err := foreignProgram(on.Index); err != nil {
		return nil, fmt.Errorf("%s: %w", on.Name, err)
	}
	l, err = attachXDP(on, want, program)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", on.Name, err)
	}
	path := p.linkPath(on.Index)
	if p.dir == "" {
		l.Unpinned = "there is no folder for pins"
	} else if err := l.link.Pin(path); err != nil {
		l.Unpinned = err.Error()
	} else {
		l.path = path
	}
	return l, nil
}

// adopt takes over the pinned link of the interface; nil if there is none, or it is of another mode or of an interface that is
// gone.
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
	now, alive, err := targetOf(pinned, on.Index)
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

// targetOf returns interface index, and whether the pinned link keeps a program on it: the interface may be gone, and another have
// its index. With an error neither is known.
func targetOf(pinned link.Link, index int) (now Interface, alive bool, err error) {
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

// attachXDP tries the modes that want allows, and keeps why the first was refused.
func attachXDP(on Interface, want Mode, program *ebpf.Program) (*Link, error) {
	var refused []error
	modes := []Mode{want}
	if want == AnyMode {
		modes = []Mode{Native, SKB}
	}
	for _, mode := range modes {
		l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: on.Index, Flags: flagOf(mode)})
		if err == nil {
			on.Mode = mode
			attached := &Link{link: l, Interface: on}
			if len(refused) > 0 {
				attached.Fallback = refused[0].Error()
			}
			return attached, nil
		}
		refused = append(refused, fmt.Errorf("XDP mode %s: %w", mode, err))
	}
	if err := foreignProgram(on.Index); err != nil { // attached meanwhile
		return nil, err
	}
	return nil, errors.Join(refused...)
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

// foreignProgram returns an ErrForeign that names the program on interface index, nil if there is none.
func foreignProgram(index int) error {
	now, err := byIndex(index)
	if attached := err == nil && now.ProgramID != 0; !attached {
		return nil
	}
	name := "?"
	if program, err := ebpf.NewProgramFromID(ebpf.ProgramID(now.ProgramID)); err == nil {
		if info, err := program.Info(); err == nil {
			name = info.Name
		}
		_ = program.Close() // closes our descriptor only
	}
	return fmt.Errorf("%w: %q, id %d, mode %s; detach it (bpftool net, ip link set dev … xdp off) or leave this interface out",
		ErrForeign, name, now.ProgramID, now.Mode)
}

// Attached reports whether the program is still on the interface it was attached to.
func (l *Link) Attached() bool {
	info, err := l.link.Info()
	return err == nil && info.XDP() != nil && int(info.XDP().Ifindex) == l.Interface.Index
}

// Close closes the link. A pinned one stays attached.
func (l *Link) Close() error { return l.link.Close() }

// Detach detaches the program and removes the pin.
func (l *Link) Detach() error {
	if l.path == "" {
		return l.link.Close()
	}
	return errors.Join(os.Remove(l.path), l.link.Close())
}

// RemoveExcept removes the pins of all interfaces but those in keep, which detaches their programs, and returns how many there were.
func (p Pins) RemoveExcept(keep []Interface) (int, error) {
	indexes, err := p.indexes()
	if err != nil {
		return 0, err
	}
	var errs []error
	removed := 0
	for _, index := range indexes {
		if slices.ContainsFunc(keep, func(i Interface) bool { return i.Index == index }) {
			continue
		}
		removed++
		errs = append(errs, os.Remove(p.linkPath(index)))
	}
	return removed, errors.Join(errs...)
}
