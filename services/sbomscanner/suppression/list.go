package suppression

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// Suppression is why a finding is not reported.
type Suppression struct {
	Source  string    `json:"source"` // file:line:column of the entry, or the file of the statement
	Status  string    `json:"status"` // ignored, not_affected, fixed
	Reason  string    `json:"reason"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
}

// Finding is what is compared: a package and every name of its vulnerability.
type Finding struct {
	PURL  string
	Names []string
	Asset inventory.Asset
}

// List is the entries of the ignore file and the statements of the documents. It is safe for concurrent use; nil suppresses nothing.
type List struct {
	ignored    []entry
	statements map[string][]statement // by the name of the vulnerability, the newest first
}

// Load reads the ignore file, if path is not empty, and OpenVEX documents. Entries of the ignore file that have ended by now are
// kept, for Expired. The error has every mistake of the ignore file as file:line:column, and of each document its first.
func Load(path string, documents []string, now time.Time) (*List, error) {
	l := &List{statements: map[string][]statement{}}
	var errs []error
	if path != "" {
		data, err := read(path, maxIgnoreFile)
		if err == nil {
			l.ignored, err = parseIgnoreFile(path, data, now)
		}
		errs = append(errs, err)
	}
	for order, document := range documents {
		data, err := read(document, maxDocument)
		var all []statement
		if err == nil {
			all, err = parseOpenVEX(document, data)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("OpenVEX document %s: %w", document, err))
		}
		for _, s := range all {
			s.order = order
			for _, name := range s.names {
				l.statements[name] = append(l.statements[name], s)
			}
		}
	}
	for _, all := range l.statements {
		slices.SortStableFunc(all, newestFirst)
	}
	return l, errors.Join(errs...)
}

// Find returns why f is not reported at the time now, and false if it is.
func (l *List) Find(f Finding, now time.Time) (Suppression, bool) {
	if l == nil {
		return Suppression{}, false
	}
	for _, e := range l.ignored {
		if now.Before(e.Expires) && e.matches(f) {
			return e.Suppression, true
		}
	}
	var newest *statement
	for _, name := range f.Names {
		for i, s := range l.statements[name] {
			if s.about(f) {
				if newest == nil || newestFirst(s, *newest) < 0 {
					newest = &l.statements[name][i]
				}
				break
			}
		}
	}
	if newest == nil || !newest.suppresses() {
		return Suppression{}, false
	}
	return newest.Suppression, true
}

// Expired returns the entries of the ignore file that have ended at the time now.
func (l *List) Expired(now time.Time) []Suppression {
	if l == nil {
		return nil
	}
	var out []Suppression
	for _, e := range l.ignored {
		if !now.Before(e.Expires) {
			out = append(out, e.Suppression)
		}
	}
	return out
}

// Len returns the number of entries and of names of vulnerabilities with a statement.
func (l *List) Len() (entries, vulnerabilities int) {
	if l == nil {
		return 0, 0
	}
	return len(l.ignored), len(l.statements)
}

// read returns the content of a regular file of at most limit bytes.
func read(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path) // an operator may link his own files; a named pipe would block
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return data, errors.Join(err, file.Close())
}
