//go:build !linux

package bpf

func haveTCX() error { return ErrNoEgress }
