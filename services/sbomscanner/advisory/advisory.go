// Package advisory has the advisories of the vulnerability database: records of the OSV schema, imported, checked, indexed in
// one file and mapped into memory.
package advisory

import "time"

// Advisory is one record of the OSV schema (https://ossf.github.io/osv-schema/), as far as matching and reports need it.
type Advisory struct {
	ID         string     `json:"id"`
	Aliases    []string   `json:"aliases,omitempty"`
	Upstream   []string   `json:"upstream,omitempty"` // the records that a distribution's record is about
	Summary    string     `json:"summary,omitempty"`
	Details    string     `json:"details,omitempty"` // cut to 2 KiB
	Published  time.Time  `json:"published"`
	Modified   time.Time  `json:"modified"`
	Withdrawn  time.Time  `json:"withdrawn"` // zero if it stands
	Severities []Severity `json:"severity,omitempty"`
	Rating     string     `json:"rating,omitempty"` // the word in database_specific.severity, such as MODERATE
	Affected   []Affected `json:"affected"`
	References []string   `json:"references,omitempty"` // URLs, at most 10
}

// Severity is one score of an advisory: a CVSS vector, or the word of a distribution's priority.
type Severity struct {
	Type  string `json:"type"` // CVSS_V2, CVSS_V3, CVSS_V4, Ubuntu
	Score string `json:"score"`
}

// Affected is one package of an advisory with the versions that are vulnerable.
type Affected struct {
	Ecosystem  string     `json:"ecosystem"` // with its suffix, such as Debian:12
	Name       string     `json:"name"`
	Ranges     []Range    `json:"ranges,omitempty"`
	Versions   []string   `json:"versions,omitempty"`
	Severities []Severity `json:"severity,omitempty"`
	Rating     string     `json:"rating,omitempty"` // the word in ecosystem_specific or database_specific severity
}

// RangeType says how the versions of a range are compared.
type RangeType string

// The types of ranges.
const (
	SemVer    RangeType = "SEMVER"
	Ecosystem RangeType = "ECOSYSTEM"
	Git       RangeType = "GIT" // commits: it is skipped where packages have versions
)

// Range is a list of events in the order of the record.
type Range struct {
	Type   RangeType `json:"type"`
	Events []Event   `json:"events"`
}

// Event is one event of a range; exactly one field is set.
type Event struct {
	Introduced   string `json:"introduced,omitempty"`
	Fixed        string `json:"fixed,omitempty"`
	LastAffected string `json:"last_affected,omitempty"`
	Limit        string `json:"limit,omitempty"`
}
