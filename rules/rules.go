// Package rules holds the Sigma rules that Ironpost ships. Each file is one rule
// with the rules it refers to. testdata/<file without .yml>/ has raw log lines:
// matching.log raises its alert, near-miss.log is similar and must not raise it,
// benign.log is what such a log normally holds. For the rules on traffic
// (net_*.yml) these are records of the packet engine, one JSON object per line;
// services/logpipeline/packet lists their fields. The tests of the log pipeline
// run the samples. Rules of your own belong into rules_path, not here.
//
// Every rule that raises alerts about attacks says by tags whom it describes, for
// the container guard; deploy/policies/README.md lists them.
package rules

import "embed"

// FS holds the rule files in its root. It is safe for concurrent use.
//
//go:embed *.yml
var FS embed.FS
