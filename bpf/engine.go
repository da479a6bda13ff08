package bpf

import (
	"errors"
)

// ErrNoEgress is returned where the kernel has no TCX (before 6.6), so that answers are not seen.
var ErrNoEgress = errors.New("kernel has no tcx")

// Options is how to load the program of one interface.
type Options struct {
	// Interface is the name written into windows; nothing is attached.
	Interface string
	// Filter is the allow list and blocklist to obey. Required.
	Filter *Filter
	// RingBufferSize is in bytes, a power of two and a multiple of the page size. 0 means 256 KiB.
	RingBufferSize int
	// SamplesPerSecond bounds the samples of all CPUs together. 0 means 256.
	SamplesPerSecond int
	// Gate is how many packets a source sends in an interval before it gets a record of its own. 0 means 16. It is
	// per CPU, so it is divided by the number of CPUs, down to 2.
	Gate int
	// Replay makes time what Run says it is, counts on one CPU, sees both directions in what Run is given, and takes
	// cut packets for cut by the capture.
	Replay bool
}

// Verdict is what the program decided.
type Verdict uint32

// The verdicts, as in the kernel's enum xdp_action.
const (
	Aborted Verdict = 0
	Drop    Verdict = 1
	Pass    Verdict = 2
)

// Engine is the program of one interface and what it counts. Collect, Samples and Run may each be called by one
// goroutine at a time, different ones concurrently.
type Engine struct{ engine }
