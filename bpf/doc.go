// Package bpf holds the packet programs and the Go side of their maps: an XDP program that counts every packet, keeps records of
// relevant sources and targets, samples new conversations and drops packets of blocked sources, and a TCX program that sees
// outgoing packets.
//
// A Filter holds the allow list and the blocklist; all interfaces share it, and it may be pinned so that it outlives the process.
// An Engine is the program of one interface with its counters. Attaching is up to the caller: Engine.XDP and Engine.Egress return
// the programs.
//
// The C sources are in src; `go generate ./bpf` compiles them with clang, and the objects are committed, so that building the
// project needs no clang. Package bpf/traffic describes the counters; package bpf/model is the parser in Go, the oracle of the tests.
package bpf
