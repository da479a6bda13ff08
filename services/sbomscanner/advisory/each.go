package advisory

import (
	"slices"
	"strings"
)

// Each calls fn with every advisory of an ecosystem, complete, also the withdrawn ones, until fn returns an error. The store
// cannot be closed meanwhile. Errors: that of fn, ErrNotCovered, ErrClosed, *CorruptError.
func (s *Store) Each(ecosystem string, fn func(*Advisory) error) error {
	var failed error
	err := s.use(Base(ecosystem), func(m *mapped) error {
		return m.all(func(payload []byte) error {
			a, err := decode(payload, true, nil)
			if err != nil {
				return err
			}
			failed = fn(a)
			return failed
		})
	})
	if failed != nil {
		return failed
	}
	return err
}

// all calls fn with the payload of every record in the order of the file, until fn returns an error.
func (x *index) all(fn func([]byte) error) error {
	var places []uint64
	for i := range len(x.ids) / entrySize {
		places = append(places, entryAt(x.ids, i).place)
	}
	slices.Sort(places)
	var buffer []byte
	for _, place := range slices.Compact(places) {
		payload, err := x.record(entry{place: place}, &buffer)
		if err != nil {
			return err
		}
		if err := fn(payload); err != nil {
			return err
		}
	}
	return nil
}

// Ecosystems returns the names of the ecosystems of the OSV schema, without suffixes.
func Ecosystems() []string { return strings.Split(ecosystems, "\n") }
