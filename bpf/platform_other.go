//go:build !linux

package bpf

import "time"

func kernelClock(time.Time) clock { return clock{} }

func haveTCX() error { return ErrNoEgress }
