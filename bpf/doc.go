// Package bpf is the packet program and the Go side of its maps: an XDP program that counts every packet, keeps records
// of the sources and targets that matter, samples new conversations and drops what is on the blocklist, and a TCX program
// that sees what goes out in answer.
//
// A Filter holds the allow list and the blocklist; all interfaces share it, and it may be pinned so that it outlives the
// process. An Engine is the program of one interface with its counters. Attaching is the caller's business: Engine.XDP and
// Engine.Egress give the programs.
//
// The C sources are in src; `go generate ./bpf` compiles them with clang, and the objects are committed, so that building
// the project needs no clang. Package bpf/traffic names what is counted; package bpf/model is the parser again in Go, the
// oracle of the tests.
package bpf
