package advisory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Errors that callers tell apart.
var (
	// ErrNoAdvisories says that the database has nothing: packages are not assessed, which is not the same as clean.
	ErrNoAdvisories = errors.New("not assessed: no advisories: run `ironpost vulndb update` or `ironpost vulndb import FILE`")
	// ErrNotCovered says that the database has no advisories for an ecosystem.
	ErrNotCovered = errors.New("the database has no advisories for the ecosystem")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the vulnerability database is closed")
)

// maxOpenAttempts bounds how often the database is opened again because an import replaced it meanwhile.
const maxOpenAttempts = 10

// Store is one generation of the vulnerability database, mapped into memory. An import does not change it: Changed says when to
// open the database again. Its methods may be called concurrently; Close waits for the others.
type Store struct {
	dir    string
	status Status
	file   os.FileInfo // of the manifest, nil if there was none

	mu     sync.RWMutex
	closed bool
	bases  []string // of the ecosystems, sorted
	maps   map[string]*mapped
}

type mapped struct {
	*index
	path  string
	file  *os.File
	unmap func() error
}

// Open opens the database in dir. Without a database, or without dir, the store is empty and says so (Empty). If the newest
// generation is damaged, the previous one is opened and Status().Damaged says why; if that is not possible either, the error is
// a *CorruptError.
func Open(dir string) (*Store, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &Store{dir: dir}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the vulnerability database: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing was written
	s := &Store{dir: dir}
	for range maxOpenAttempts {
		err = s.open(root)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		// An import may have removed the files of the manifest that was read; then there is a newer one.
		if changed, _ := s.Changed(); !changed {
			break
		}
	}
	if err != nil {
		err = s.fallBack(root, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the vulnerability database: %w", err)
	}
	return s, nil
}

// open maps the current generation.
func (s *Store) open(root *os.Root) error {
	m, info, err := readManifest(root)
	if err != nil {
		return err
	}
	s.file, s.status = info, Status{Generation: m.Current, Previous: m.Previous}
	return s.mapAll(root)
}

// fallBack maps the previous generation, if there is one, because the current one is damaged.
func (s *Store) fallBack(root *os.Root, damage error) error {
	var corrupt *CorruptError
	if !errors.As(damage, &corrupt) || s.status.Previous == nil {
		return damage
	}
	s.status = Status{Generation: *s.status.Previous, Damaged: damage.Error()}
	if err := s.mapAll(root); err != nil {
		return errors.Join(damage, err)
	}
	return nil
}

func (s *Store) mapAll(root *os.Root) error {
	s.maps, s.bases = make(map[string]*mapped), nil
	for _, c := range s.status.all() {
		m, err := mapIndex(root, c)
		if err != nil {
			return errors.Join(err, s.unmap())
		}
		s.maps[c.Ecosystem] = m
		if c != s.status.KEV && c != s.status.EPSS {
			s.bases = append(s.bases, c.Ecosystem)
		}
	}
	return nil
}

func mapIndex(root *os.Root, c *Coverage) (_ *mapped, err error) {
	m := &mapped{path: filepath.Join(root.Name(), indexFolder, c.File)}
	defer func() {
		if err != nil {
			err = errors.Join(&CorruptError{File: m.path, Err: err}, m.close())
		}
	}()
	if m.file, err = openRegular(root, filepath.Join(indexFolder, c.File)); err != nil {
		return nil, err
	}
	info, err := m.file.Stat()
	if err != nil {
		return nil, err
	}
	err = catchFault(func() (err error) {
		m.index, err = newIndex(m.file, info.Size(), func(from, length int64) ([]byte, error) {
			tables, unmap, err := mapFile(m.file, from, length)
			m.unmap = unmap
			return tables, err
		})
		return err
	})
	if err == nil && (info.Size() != c.FileSize || m.count != c.Records) {
		err = errors.New("it is not the file that was imported: its size or its count of records differs")
	}
	return m, err
}

func (m *mapped) close() error {
	var err error
	if m.unmap != nil {
		err = m.unmap()
	}
	if m.file != nil {
		err = errors.Join(err, m.file.Close())
	}
	return err
}

// Close gives memory and files back. What lookups returned stays valid.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.unmap()
}

func (s *Store) unmap() error {
	var err error
	for _, m := range s.maps {
		err = errors.Join(err, m.close())
	}
	s.maps = nil
	return err
}

// Empty reports whether there are no advisories at all; ErrNoAdvisories has the words for it.
func (s *Store) Empty() bool { return len(s.status.Ecosystems) == 0 }

// Status returns what the store has. The caller must not change it.
func (s *Store) Status() Status { return s.status }

// Coverage returns what the store has for an ecosystem, with or without suffix, and false if it has nothing.
func (s *Store) Coverage(ecosystem string) (Coverage, bool) {
	c := s.status.find(Base(ecosystem))
	if c == nil || c == s.status.KEV || c == s.status.EPSS {
		return Coverage{}, false
	}
	return *c, true
}

// Changed reports whether the database in the folder was imported, updated or rolled back since this store was opened. It costs
// one system call.
func (s *Store) Changed() (bool, error) {
	info, err := os.Lstat(filepath.Join(s.dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return s.file != nil, nil
	}
	if err != nil {
		return false, fmt.Errorf("check the vulnerability database: %w", err)
	}
	same := s.file != nil && os.SameFile(info, s.file) && info.Size() == s.file.Size() && info.ModTime().Equal(s.file.ModTime())
	return !same, nil
}

// Lookup returns the advisories that name a package, also withdrawn ones. Affected has only the entries about this package
// under any suffix of the ecosystem: the caller compares suffixes. Details and References are left out; ByID has them. The name
// need not be normalized. Errors: ErrNotCovered, ErrClosed, *CorruptError.
func (s *Store) Lookup(ecosystem, name string) ([]*Advisory, error) {
	base := Base(ecosystem)
	name = Normalize(base, name)
	keep := func(e, n string) bool { return Base(e) == base && Normalize(base, n) == name }
	var found []*Advisory
	err := s.use(base, func(m *mapped) error {
		return m.byName(name, func(payload []byte) error {
			a, err := decode(payload, false, keep)
			if err == nil && len(a.Affected) > 0 {
				found = append(found, a)
			}
			return err
		})
	})
	return found, err
}

// ByID returns the advisories of all ecosystems that have the id or name it as an alias, complete: those with the id first, then
// sorted. An advisory of several ecosystems is one.
func (s *Store) ByID(id string) ([]*Advisory, error) {
	var found []*Advisory
	for _, base := range s.bases {
		err := s.use(base, func(m *mapped) error {
			return m.byID(id, func(payload []byte) error {
				a, err := decode(payload, true, nil)
				if err == nil && (a.ID == id || slices.Contains(a.Aliases, id)) {
					found = addEcosystem(found, a)
				}
				return err
			})
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b *Advisory) int {
		switch {
		case a.ID == id && b.ID != id:
			return -1
		case b.ID == id && a.ID != id:
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
	return found, nil
}

// addEcosystem adds a to found, or its packages to the advisory with its id.
func addEcosystem(found []*Advisory, a *Advisory) []*Advisory {
	for _, other := range found {
		if other.ID == a.ID {
			other.Affected = append(other.Affected, a.Affected...)
			return found
		}
	}
	return append(found, a)
}

// use calls fn with the index of name, which stays mapped meanwhile.
func (s *Store) use(name string, fn func(*mapped) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	m := s.maps[name]
	if m == nil {
		return fmt.Errorf("%w: %s", ErrNotCovered, name)
	}
	if err := catchFault(func() error { return fn(m) }); err != nil {
		return &CorruptError{File: m.path, Err: err}
	}
	return nil
}
