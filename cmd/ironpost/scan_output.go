package main

import (
	"encoding/json"
	"errors"
	"os"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/atomicfile"
	"github.com/ironpost/ironpost/services/sbomscanner/document"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

// writeSBOM writes the inventory as an SBOM document.
func (a *app) writeSBOM(r *scanReport, inv *inventory.Inventory, found *match.Result, f scanFlags) error {
	o := document.Options{Version: suite.Version()}
	if f.vulnerabilities {
		o.Findings, o.Analysis = found, r.analysis()
	}
	raw, err := document.Encode(document.Format(f.format), inv, o)
	if err != nil {
		return err
	}
	return a.writeResult(f.sbom, raw)
}

// analysis returns what OpenVEX documents say about a finding. An entry of the ignore file is no such statement: it says that the
// operator does not want to see the finding.
func (r *scanReport) analysis() func(match.Finding) (document.Analysis, bool) {
	type key struct{ purl, id string }
	decided := map[key]document.Analysis{}
	for _, s := range r.Suppressed {
		if s.Status != statusIgnored {
			decided[key{s.PURL, s.ID}] = document.Analysis{Status: s.Status, Detail: s.Reason}
		}
	}
	return func(f match.Finding) (document.Analysis, bool) {
		analysis, ok := decided[key{f.PURL, f.ID}]
		return analysis, ok
	}
}

// statusIgnored is the status of what the ignore file suppresses.
const statusIgnored = "ignored"

// writeSARIF writes the report as SARIF.
func (a *app) writeSARIF(r *scanReport, path string) error {
	raw, err := json.MarshalIndent(r.sarif(), "", "  ")
	if err != nil {
		return err
	}
	return a.writeResult(path, append(event.PrintableJSON(raw), '\n'))
}

// writeResult writes data to standard output, where path is -, or to a file. A regular file is replaced as a
// whole; anything else, such as a pipe, is written to.
func (a *app) writeResult(path string, data []byte) (err error) {
	if path == "-" {
		_, err := a.out.Write(data)
		return err
	}
	const readable = 0o644
	if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() {
		return atomicfile.WriteFile(path, data, readable)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = file.Write(data)
	return err
}
