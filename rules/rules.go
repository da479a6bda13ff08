// Package rules holds the Sigma rules that Ironpost ships. Each file is one rule,
// with what it builds on, and has beside it testdata/<file without .yml>/ with
// raw log lines: matching.log raises its alert, near-miss.log looks like it but
// must not, benign.log is what such a log normally holds. Rules on what the engine
// sees in packets (net_*.yml) have its records there instead, one JSON object a line;
// services/logpipeline/packet lists their fields. The tests of the log pipeline run
// the samples; rules of your own go into rules_path, not here.
package rules

import "embed"

// FS holds the rule files, all in its root. It is read-only, so it may be used
// concurrently.
//
//go:embed *.yml
var FS embed.FS
