// Package logpipeline reads log files, syslog, container logs and the packet records of the eBPF engine,
// matches every line and event against Sigma rules, and publishes the alerts.
//
// One goroutine processes the input in order: read, parse, match, correlate, deduplicate, publish,
// checkpoint (pipeline.go and match.go). The next batch is read when the alerts of this one are stored, so a
// full stream makes the sources wait and no alert is lost. After a crash the input since the last checkpoint
// is read again and gives the same alert ids, which the publisher leaves out: each alert is stored once.
package logpipeline
