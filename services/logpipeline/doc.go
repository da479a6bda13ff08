// Package logpipeline reads log files and syslog, judges every line by Sigma
// rules, and publishes what the rules conclude as alerts.
//
// One goroutine takes the lines in order: read, parse, match, correlate,
// deduplicate, publish, checkpoint. The next lines are not read before the alerts
// of these are stored, so a full stream makes the files wait and nothing is lost.
// What was not yet checkpointed when the process died is read again and gives the
// same alert ids, which the publisher leaves out: each conclusion is in the stream
// once.
package logpipeline
