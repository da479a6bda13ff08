package bpf

import (
	"slices"
	"unsafe"
)

// lengthList is one list of prefix lengths in the kernel. It changes by one length at a time, in such an order that a program that
// reads it at the same moment sees every length that stays.
type lengthList struct {
	mem          memory
	count, items uintptr // offsets
	current      []uint8
}

func lengthLists(mem memory) map[[2]bool]*lengthList {
	return map[[2]bool]*lengthList{
		{false, false}: {mem, unsafe.Offsetof(programFilter{}.BlockLengths4), unsafe.Offsetof(programFilter{}.BlockLength4), nil},
		{false, true}:  {mem, unsafe.Offsetof(programFilter{}.AllowLengths4), unsafe.Offsetof(programFilter{}.AllowLength4), nil},
		{true, false}:  {mem, unsafe.Offsetof(programFilter{}.BlockLengths6), unsafe.Offsetof(programFilter{}.BlockLength6), nil},
		{true, true}:   {mem, unsafe.Offsetof(programFilter{}.AllowLengths6), unsafe.Offsetof(programFilter{}.AllowLength6), nil},
	}
}

// read reads the list from the kernel.
func (l *lengthList) read() error {
	var n uint32
	if err := load(l.mem, l.count, &n); err != nil {
		return err
	}
	l.current = make([]uint8, min(n, 129))
	for i := range l.current {
		if err := load(l.mem, l.items+uintptr(i), &l.current[i]); err != nil {
			return err
		}
	}
	return nil
}

// set replaces the list by want, which is sorted, the longest first.
func (l *lengthList) set(want []uint8) error {
	for _, length := range want {
		if err := l.insert(length); err != nil {
			return err
		}
	}
	for _, length := range slices.Clone(l.current) {
		if slices.Contains(want, length) {
			continue
		}
		if err := l.remove(length); err != nil {
			return err
		}
	}
	return nil
}

// insert writes from the end, so that a length that moves is in the list twice at times, never missing.
func (l *lengthList) insert(length uint8) error {
	at, found := slices.BinarySearchFunc(l.current, length, func(have, want uint8) int { return int(want) - int(have) })
	if found {
		return nil
	}
	l.current = slices.Insert(l.current, at, length)
	last := len(l.current) - 1
	if err := l.put(last); err != nil {
		return err
	}
	if err := l.putCount(); err != nil {
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
	at := slices.Index(l.current, length)
	l.current = slices.Delete(l.current, at, at+1)
	for i := at; i < len(l.current); i++ {
		if err := l.put(i); err != nil {
			return err
		}
	}
	return l.putCount()
}

func (l *lengthList) put(i int) error { return store(l.mem, l.items+uintptr(i), &l.current[i]) }

func (l *lengthList) putCount() error {
	n := uint32(len(l.current))
	return store(l.mem, l.count, &n)
}
