package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

// The objects of SARIF 2.1.0 (OASIS standard, section 3) that a scan needs. security-severity in the properties of a rule is what
// code hosts sort by.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
		ColumnKind  string            `json:"columnKind"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID         string         `json:"id"`
		Short      sarifText      `json:"shortDescription"`
		Full       sarifText      `json:"fullDescription"`
		Help       sarifText      `json:"help"`
		HelpURI    string         `json:"helpUri"`
		Default    sarifDefault   `json:"defaultConfiguration"`
		Properties map[string]any `json:"properties"`
	}
	sarifDefault struct {
		Level string `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string    `json:"level"`
		Message sarifText `json:"message"`
	}
	sarifResult struct {
		RuleID       string             `json:"ruleId"`
		RuleIndex    int                `json:"ruleIndex"`
		Level        string             `json:"level"`
		Message      sarifText          `json:"message"`
		Locations    []sarifLocation    `json:"locations"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
		Properties   map[string]any     `json:"properties"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI  string `json:"uri"`
		Base string `json:"uriBaseId,omitempty"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Justification string `json:"justification"`
	}
)

const (
	sarifSchema    = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	projectURI     = "https://github.com/ironpost/ironpost"
	advisoryURI    = "https://osv.dev/vulnerability/"
	maxSARIFResult = 25_000 // what code hosts accept of one run
)

// sarif returns the report as SARIF: a rule for each vulnerability, a result for each file that names its package.
func (r *scanReport) sarif() sarifLog {
	run := sarifRun{
		Tool:        sarifTool{Driver: sarifDriver{Name: "Ironpost", Version: r.Version, InformationURI: projectURI, Rules: []sarifRule{}}},
		Invocations: []sarifInvocation{{Successful: r.Complete, Notifications: r.notifications()}},
		Results:     []sarifResult{}, ColumnKind: "unicodeCodePoints",
	}
	rules := map[string]int{}
	add := func(f match.Finding, suppressed []sarifSuppression) {
		index, known := rules[f.ID]
		if !known {
			index = len(run.Tool.Driver.Rules)
			rules[f.ID] = index
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, newSARIFRule(f))
		}
		for _, file := range orAsset(f.Locations) {
			if len(run.Results) == maxSARIFResult {
				run.Invocations[0].Successful = false
				return
			}
			run.Results = append(run.Results, newSARIFResult(r.Asset, f, index, file, suppressed))
		}
	}
	for _, f := range r.Findings {
		add(f, nil)
	}
	for _, s := range r.Suppressed {
		add(s.Finding, []sarifSuppression{{Kind: "external", Justification: s.Source + ": " + s.Reason}})
	}
	return sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}}
}

// orAsset returns files; an empty one stands for the asset itself.
func orAsset(files []string) []string {
	if len(files) == 0 {
		return []string{""}
	}
	return files
}

func newSARIFRule(f match.Finding) sarifRule {
	summary := cmp.Or(f.Summary, f.ID)
	rule := sarifRule{
		ID: f.ID, Short: plainText(summary), Full: plainText(summary), HelpURI: advisoryURI + url.PathEscape(firstOr(f.IDs, f.ID)),
		Help:       plainText("Also known as: " + strings.Join(append([]string{f.ID}, f.Aliases...), ", ") + "."),
		Default:    sarifDefault{sarifLevel(f)},
		Properties: map[string]any{"tags": []string{"security", "vulnerability"}},
	}
	if score := securitySeverity(f); score != "" {
		rule.Properties["security-severity"] = score
	}
	return rule
}

// securitySeverity is the CVSS score, or the lowest one of the severity where there is only a word; empty if nothing is known.
func securitySeverity(f match.Finding) string {
	score := f.Score
	if score == 0 && !f.Unknown {
		score = map[event.Severity]float64{event.Critical: 9, event.High: 7, event.Medium: 4, event.Low: 0.1}[f.Severity]
	}
	if score == 0 {
		return ""
	}
	return strconv.FormatFloat(score, 'f', 1, 64)
}

func sarifLevel(f match.Finding) string {
	switch {
	case f.Reaches(event.High):
		return "error"
	case f.Severity == event.Medium:
		return "warning"
	}
	return "note"
}

func newSARIFResult(asset inventory.Asset, f match.Finding, rule int, file string, suppressed []sarifSuppression) sarifResult {
	fixed := "no fixed version is known"
	if len(f.Fixed) > 0 {
		fixed = "fixed in " + strings.Join(f.Fixed, ", ")
	}
	return sarifResult{
		RuleID: f.ID, RuleIndex: rule, Level: sarifLevel(f),
		Message:      plainText(fmt.Sprintf("%s %s is affected by %s (%s); %s.", f.Name, f.Version, f.ID, severityWord(f), fixed)),
		Locations:    []sarifLocation{newSARIFLocation(asset, file)},
		Fingerprints: map[string]string{"finding/v1": event.ID(f.PURL, f.ID, file)},
		Suppressions: suppressed,
		Properties:   map[string]any{"purl": f.PURL, "fixed": orEmpty(f.Fixed), "kev": f.KEV, "epss": f.EPSS},
	}
}

// newSARIFLocation names a file relative to the folder that was scanned, which the code host takes for the root of
// the sources. A file in an image or document also names the asset.
func newSARIFLocation(asset inventory.Asset, file string) sarifLocation {
	path := cmp.Or(strings.TrimPrefix(file, "/"), asset.Name)
	l := sarifLocation{Physical: sarifPhysical{Artifact: sarifArtifact{URI: (&url.URL{Path: path}).String()}, Region: sarifRegion{StartLine: 1}}}
	if asset.Kind == inventory.Directory {
		l.Physical.Artifact.Base = "%SRCROOT%"
	} else {
		l.Logical = []sarifLogical{{Name: asset.Name}}
	}
	return l
}

// notifications say what the scan does not know.
func (r *scanReport) notifications() []sarifNotification {
	var list []sarifNotification
	add := func(format string, args ...any) {
		list = append(list, sarifNotification{Level: "warning", Message: plainText(fmt.Sprintf(format, args...))})
	}
	for _, p := range r.Problems {
		add("not read: %s: %s", p.Path, p.Reason)
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Skipped)) {
		add("not read: %d files: %s", r.Skipped[reason], reason)
	}
	for _, e := range r.Ecosystems {
		if e.NotAssessed > 0 {
			add("not assessed: %d packages of %s: no advisories", e.NotAssessed, e.Name)
		}
		if e.Unreadable > 0 {
			add("not assessed: %d packages of %s: the version cannot be compared", e.Unreadable, e.Name)
		}
	}
	return list
}

// sarifEscape takes their meaning from the characters of links and placeholders (SARIF 3.11.5, 3.11.6): names and summaries
// come from outside.
var sarifEscape = strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, "{", "{{", "}", "}}")

func plainText(s string) sarifText { return sarifText{sarifEscape.Replace(s)} }

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
