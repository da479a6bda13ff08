package advisory

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/event"
)

// Limits of one record. Texts are cut; a record with more of anything else than these is refused.
const (
	maxRecordBytes = 16 << 20
	maxDetails     = 2 << 10
	maxSummary     = 512
	maxReferences  = 10
	maxReference   = 1 << 10
	maxID          = 128
	maxAliases     = 2_000
	maxAffected    = 20_000
	maxName        = 1 << 10
	maxVersion     = 1 << 10

	// A record of 16 MiB could have millions of empty lists and objects, whose form in memory is a hundred times as large. The
	// largest records, those of the kernels of distributions, have some 50,000 values.
	maxValues = 200_000
)

// osvRecord has the fields of the OSV schema that are kept. Fields of other types than the schema says make the record
// malformed, except in the database's own parts, which have no schema.
type osvRecord struct {
	ID         string        `json:"id"`
	Aliases    []string      `json:"aliases"`
	Upstream   []string      `json:"upstream"`
	Summary    string        `json:"summary"`
	Details    string        `json:"details"`
	Published  string        `json:"published"`
	Modified   string        `json:"modified"`
	Withdrawn  string        `json:"withdrawn"`
	Severity   []Severity    `json:"severity"`
	Specific   rating        `json:"database_specific"`
	Affected   []osvAffected `json:"affected"`
	References []struct {
		URL string `json:"url"`
	} `json:"references"`
}

type osvAffected struct {
	Package struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
	} `json:"package"`
	Ranges   []Range    `json:"ranges"`
	Versions []string   `json:"versions"`
	Severity []Severity `json:"severity"`
	Database rating     `json:"database_specific"`
	Specific rating     `json:"ecosystem_specific"`
}

// rating is the word for the severity in an object without a schema: the field severity of GitHub and others, or the urgency
// of Debian. What has another form is ignored.
type rating string

// UnmarshalJSON never fails: the object belongs to the database that made it.
func (r *rating) UnmarshalJSON(b []byte) error {
	var object struct {
		Severity any `json:"severity"`
		Urgency  any `json:"urgency"`
	}
	if json.Unmarshal(b, &object) != nil {
		return nil //nolint:nilerr // not an object: it has no rating
	}
	for _, value := range []any{object.Severity, object.Urgency} {
		if word, ok := value.(string); ok && word != "" {
			*r = rating(event.Shorten(word, 64))
			return nil
		}
	}
	return nil
}

// parse reads one record of the OSV schema (https://ossf.github.io/osv-schema/). Its errors are refusals.
func parse(b []byte) (*Advisory, error) {
	if len(b) > maxRecordBytes {
		return nil, refuse(refusedSize, "it has more than %d bytes", maxRecordBytes)
	}
	if n := countValues(b); n > maxValues {
		return nil, refuse(refusedLimit, "it has more than %d values", maxValues)
	}
	var r osvRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, &refusal{reason: refusedJSON, cause: err}
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r.advisory()
}

// countValues returns a number that the values in JSON are not more than. It is right for valid JSON only.
func countValues(b []byte) int {
	n, quoted := 1, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++ // the character after it is no end
		case !quoted && (c == ',' || c == '[' || c == '{'):
			n++
		}
	}
	return n
}

func (r *osvRecord) advisory() (*Advisory, error) {
	a := &Advisory{
		ID: r.ID, Aliases: r.Aliases, Upstream: r.Upstream, Severities: r.Severity, Rating: string(r.Specific),
		Summary: event.Shorten(r.Summary, maxSummary), Details: event.Shorten(r.Details, maxDetails),
	}
	for _, t := range []struct {
		text string
		into *time.Time
	}{{r.Published, &a.Published}, {r.Modified, &a.Modified}, {r.Withdrawn, &a.Withdrawn}} {
		if err := parseTime(t.text, t.into); err != nil {
			return nil, &refusal{reason: refusedTime, cause: err}
		}
	}
	for _, ref := range r.References {
		if len(a.References) < maxReferences && len(ref.URL) <= maxReference {
			a.References = append(a.References, ref.URL)
		}
	}
	for i := range r.Affected {
		a.Affected = append(a.Affected, r.Affected[i].affected())
	}
	return a, nil
}

func (a *osvAffected) affected() Affected {
	word := a.Specific
	if word == "" {
		word = a.Database
	}
	return Affected{
		Ecosystem: a.Package.Ecosystem, Name: a.Package.Name,
		Ranges: a.Ranges, Versions: a.Versions, Severities: a.Severity, Rating: string(word),
	}
}

// check refuses what is over a limit or has no usable id.
func (r *osvRecord) check() error {
	if err := checkID(r.ID); err != nil {
		return &refusal{reason: refusedID, cause: err}
	}
	if len(r.Aliases) > maxAliases || len(r.Upstream) > maxAliases || len(r.Severity) > maxAliases {
		return refuse(refusedLimit, "more than %d aliases, upstream ids or severities", maxAliases)
	}
	for _, list := range [][]string{r.Aliases, r.Upstream} {
		for _, id := range list {
			if err := checkID(id); err != nil {
				return &refusal{reason: refusedID, cause: err}
			}
		}
	}
	if len(r.Affected) > maxAffected {
		return refuse(refusedLimit, "more than %d affected packages", maxAffected)
	}
	for i := range r.Affected {
		if err := r.Affected[i].check(); err != nil {
			return err
		}
	}
	return checkSeverities(r.Severity)
}

func (a *osvAffected) check() error {
	if len(a.Package.Name) > maxName || len(a.Package.Ecosystem) > maxName {
		return refuse(refusedLimit, "a package name has more than %d bytes", maxName)
	}
	for _, v := range a.Versions {
		if len(v) > maxVersion {
			return refuse(refusedLimit, "a version has more than %d bytes", maxVersion)
		}
	}
	for _, r := range a.Ranges {
		for _, e := range r.Events {
			if max(len(e.Introduced), len(e.Fixed), len(e.LastAffected), len(e.Limit)) > maxVersion {
				return refuse(refusedLimit, "a version has more than %d bytes", maxVersion)
			}
		}
		if len(r.Type) > maxID {
			return refuse(refusedLimit, "the type of a range has more than %d bytes", maxID)
		}
	}
	return checkSeverities(a.Severity)
}

func checkSeverities(list []Severity) error {
	if len(list) > maxAliases {
		return refuse(refusedLimit, "more than %d severities", maxAliases)
	}
	for _, s := range list {
		if len(s.Type) > maxID || len(s.Score) > maxVersion {
			return refuse(refusedLimit, "a severity has more than %d bytes", maxVersion)
		}
	}
	return nil
}

// checkID accepts printable ASCII without spaces: ids are file names, keys and words of reports.
func checkID(id string) error {
	if id == "" {
		return errors.New("an id is empty")
	}
	if len(id) > maxID {
		return fmt.Errorf("an id has more than %d bytes", maxID)
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return fmt.Errorf("the id %q has characters other than printable ASCII", id)
		}
	}
	return nil
}

// parseTime reads RFC 3339. An empty text is the zero time.
func parseTime(text string, into *time.Time) error {
	if text == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return errors.New("a time is not as RFC 3339 says: " + event.Printable(text, 64))
	}
	*into = t.UTC()
	return nil
}
