// Package logpipeline reads log files, syslog, container logs and the packet records of the eBPF engine,
// matches every line and event against Sigma rules, and publishes the alerts.
//
// Sources take turns: of each, one chunk at a time is parsed and matched by a worker (decode.go) and then sequenced: one goroutine
// counts correlations, deduplicates, publishes and writes the checkpoint (pipeline.go and match.go). A source is read on when the
// alerts of its chunk are stored, so one that floods delays only itself, and a
// full stream makes the sources wait and no alert is lost. After a crash the input since the last checkpoint
// is read again and gives the same alert ids, which the publisher leaves out: each alert is stored once.
package logpipeline
