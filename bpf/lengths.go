package bpf

import (
	"slices"
	"unsafe"
)

// lengthList is one list of prefix lengths in the kernel. It changes by one length at a time, each written so that a program
// that reads at the same moment meets every length that stays.
type lengthList struct {
	mem           memory
	number, items uintptr
	now           []uint8
}

func lengthLists(mem memory) map[[2]bool]*lengthList {
	var f programFilter
	return map[[2]bool]*lengthList{
		{false, false}: {mem, unsafe.Offsetof(f.BlockLengths4), unsafe.Offsetof(f.BlockLength4), nil},
		{false, true}:  {mem, unsafe.Offsetof(f.AllowLengths4), unsafe.Offsetof(f.AllowLength4), nil},
		{true, false}:  {mem, unsafe.Offsetof(f.BlockLengths6), unsafe.Offsetof(f.BlockLength6), nil},
		{true, true}:   {mem, unsafe.Offsetof(f.AllowLengths6), unsafe.Offsetof(f.AllowLength6), nil},
	}
}

// read takes over what is in the kernel.
func (l *lengthList) read() error {
	var n uint32
	if err := load(l.mem, l.number, &n); err != nil {
		return err
	}
	l.now = make([]uint8, min(n, 129))
	for i := range l.now {
		if err := load(l.mem, l.items+uintptr(i), &l.now[i]); err != nil {
			return err
		}
	}
	return nil
}

// set makes the list want, in its order.
func (l *lengthList) set(want []uint8) error {
	for _, length := range want {
		if err := l.insert(length); err != nil {
			return err
		}
	}
	for _, length := range slices.Clone(l.now) {
		if slices.Contains(want, length) {
			continue
		}
		if err := l.remove(length); err != nil {
			return err
		}
	}
	return nil
}

// insert writes from the end on, so that what moves is there twice, never not at all.
func (l *lengthList) insert(length uint8) error {
	at, found := slices.BinarySearchFunc(l.now, length, func(have, want uint8) int { return int(want) - int(have) })
	if found {
		return nil
	}
	l.now = slices.Insert(l.now, at, length)
	last := len(l.now) - 1
	if err := l.put(last); err != nil {
		return err
	}
	if err := l.putNumber(); err != nil {
		return err
	}
	for i := last - 1; i >= at; i-- {
		if err := l.put(i); err != nil {
			return err
		}
	}
	return nil
}

func (l *lengthList) remove(length uint8) error {
	at := slices.Index(l.now, length)
	l.now = slices.Delete(l.now, at, at+1)
	for i := at; i < len(l.now); i++ {
		if err := l.put(i); err != nil {
			return err
		}
	}
	return l.putNumber()
}

func (l *lengthList) put(i int) error { return store(l.mem, l.items+uintptr(i), &l.now[i]) }

func (l *lengthList) putNumber() error {
	n := uint32(len(l.now))
	return store(l.mem, l.number, &n)
}
