// Package match finds the advisories that affect the packages of an inventory.
package match

import (
	"github.com/ironpost/ironpost/event"
)

// Finding is one vulnerability of one package: all advisories that are aliases of each other.
type Finding struct {
	PURL      string   `json:"purl"`
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Ecosystem string   `json:"ecosystem"`
	Locations []string `json:"locations"`
	Groups    []string `json:"groups,omitempty"`
	Layer     string   `json:"layer,omitempty"`

	ID      string   `json:"id"`                // of the alias group: the CVE if there is one, else the GHSA, else the first by name
	IDs     []string `json:"ids"`               // advisories of the database that match, sorted
	Aliases []string `json:"aliases,omitempty"` // all other names of the group, sorted
	Summary string   `json:"summary,omitempty"`

	Severity event.Severity `json:"severity"`         // what the policy for unknown severities says where Unknown is set
	Unknown  bool           `json:"unknown_severity"` // no advisory of the group states a severity
	Score    float64        `json:"score,omitempty"`  // CVSS base score, 0 where there is only a word
	Vector   string         `json:"vector,omitempty"` // the CVSS vector of the score
	From     string         `json:"severity_from,omitempty"`

	Fixed []string `json:"fixed,omitempty"` // versions that end the vulnerability: the nearest one first
	KEV   bool     `json:"kev"`             // known to be exploited (CISA KEV)
	EPSS  float64  `json:"epss,omitempty"`  // probability of exploitation in 30 days (FIRST EPSS), 0 where unknown
}

// Result is the outcome of matching one inventory.
type Result struct {
	Findings []Finding `json:"findings"` // sorted by PURL, then ID

	// NotAssessed counts the packages of each ecosystem without advisories: nothing is known about them, which is not the same
	// as having no vulnerability. Packages that OSV has no ecosystem for are counted under their PURL type. Also counted are packages
	// beyond the limit of findings.
	NotAssessed map[string]int `json:"not_assessed,omitempty"`
	// Unreadable counts packages whose version, or the range of an advisory about them, could not be compared, by ecosystem.
	Unreadable map[string]int `json:"unreadable,omitempty"`
}
