package match

import (
	"cmp"
	"slices"
	"strings"

	gocvss20 "github.com/pandatix/go-cvss/20"
	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
)

// rating is a severity that an advisory states.
type rating struct {
	severity event.Severity
	cvss     int     // version of CVSS, 20 to 40; 0 for a word
	score    float64 // 0 for a word
	vector   string
	from     string // id of the advisory
}

// severity returns what the advisories of the group state: a CVSS vector of the newest version that one of them has, the
// highest score if there are several; if there is none, the worst word. What the advisories that affect the package state
// counts before what others about the same vulnerability state.
func (g *group) severity() (rating, bool) {
	var own, borrowed []rating
	for _, h := range g.hits {
		own = append(own, ratings(h.Advisory, h.entries)...)
	}
	for _, a := range g.related {
		borrowed = append(borrowed, ratings(a, nil)...)
	}
	for _, stated := range [][]rating{vectors(own), vectors(borrowed), own, borrowed} {
		if len(stated) > 0 {
			return slices.MaxFunc(stated, worse), true
		}
	}
	return rating{}, false
}

func worse(a, b rating) int {
	return cmp.Or(cmp.Compare(a.cvss, b.cvss), cmp.Compare(a.score, b.score), cmp.Compare(a.severity, b.severity), cmp.Compare(b.from, a.from))
}

func vectors(all []rating) []rating {
	return slices.DeleteFunc(slices.Clone(all), func(r rating) bool { return r.cvss == 0 })
}

// ratings returns what an advisory states: in the entries about the package, otherwise in the record itself. Without entries,
// what any of its entries states counts.
func ratings(a *advisory.Advisory, entries []*advisory.Affected) []rating {
	if entries == nil {
		for i := range a.Affected {
			entries = append(entries, &a.Affected[i])
		}
	}
	var all []rating
	for _, entry := range entries {
		all = append(all, read(a.ID, entry.Severities, entry.Rating)...)
	}
	if len(all) == 0 {
		all = read(a.ID, a.Severities, a.Rating)
	}
	if len(all) == 0 && strings.HasPrefix(a.ID, "MAL-") {
		return []rating{{severity: event.Critical, from: a.ID}} // a package made to do harm
	}
	return all
}

// read returns the severities and the word that can be understood.
func read(id string, severities []advisory.Severity, word string) []rating {
	var all []rating
	for _, s := range severities {
		r, ok := readVector(s)
		if !ok {
			r.severity, ok = readWord(s.Score)
		}
		if r.from = id; ok {
			all = append(all, r)
		}
	}
	if severity, ok := readWord(word); ok {
		all = append(all, rating{severity: severity, from: id})
	}
	return all
}

// readVector scores a CVSS vector. The score of versions 2 and 3 is the base score; version 4 has one score of all metrics in
// the vector (CVSS v4.0 specification, section 8).
func readVector(s advisory.Severity) (rating, bool) {
	vector := strings.TrimSuffix(strings.TrimSpace(s.Score), "/")
	r := rating{vector: vector}
	switch {
	case strings.HasPrefix(vector, "CVSS:4.0/"):
		v, err := gocvss40.ParseVector(vector)
		if err != nil {
			return rating{}, false
		}
		r.cvss, r.score = 40, v.Score()
	case strings.HasPrefix(vector, "CVSS:3.1/"):
		v, err := gocvss31.ParseVector(vector)
		if err != nil {
			return rating{}, false
		}
		r.cvss, r.score = 31, v.BaseScore()
	case strings.HasPrefix(vector, "CVSS:3.0/"):
		v, err := gocvss30.ParseVector(vector)
		if err != nil {
			return rating{}, false
		}
		r.cvss, r.score = 30, v.BaseScore()
	case strings.HasPrefix(strings.TrimPrefix(vector, "("), "AV:"):
		v, err := gocvss20.ParseVector(strings.Trim(vector, "()"))
		if err != nil {
			return rating{}, false
		}
		r.cvss, r.score = 20, v.BaseScore()
	default:
		return rating{}, false
	}
	r.severity = scale(r.cvss, r.score)
	return r, true
}

// scale is the qualitative severity of a score: CVSS v3.1, table 14, and v4.0, table 22. For version 2, which has none, it is
// that of the National Vulnerability Database, whose highest is High.
func scale(cvss int, score float64) event.Severity {
	switch {
	case score >= 9 && cvss >= 30:
		return event.Critical
	case score >= 7:
		return event.High
	case score >= 4:
		return event.Medium
	case score > 0 || cvss < 30:
		return event.Low
	}
	return event.Info
}

// readWord reads the words of GitHub, Debian (urgency), Ubuntu (priority), Red Hat and SUSE.
func readWord(word string) (event.Severity, bool) {
	switch strings.ToLower(strings.Trim(word, " *")) {
	case "critical":
		return event.Critical, true
	case "high", "important":
		return event.High, true
	case "medium", "moderate":
		return event.Medium, true
	case "low", "minor", "negligible", "unimportant":
		return event.Low, true
	case "none", "informational":
		return event.Info, true
	}
	return event.Info, false
}
