package advisory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ironpost/ironpost/internal/atomicfile"
)

const (
	lockName   = "lock"
	fileMode   = 0o644 // advisories are public: other users' command lines may read them
	folderMode = 0o755
)

// ErrBusy says that another process, or another goroutine, is changing the database.
var ErrBusy = errors.New("the vulnerability database is being changed by another process: try again when that is done")

// database is the folder of a database while it is changed. Only one can be open at a time.
type database struct {
	root     *os.Root
	lock     *os.File
	staging  *os.Root
	manifest *manifest
}

// openDatabase makes the folder if need be, locks it, and removes what an interrupted import left.
func openDatabase(dir string) (_ *database, err error) {
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return nil, err
	}
	d := &database{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.root, err = os.OpenRoot(dir); err != nil {
		return nil, err
	}
	if d.lock, err = lockFolder(d.root); err != nil {
		return nil, err
	}
	if d.manifest, _, err = readManifest(d.root); err != nil {
		if _, ok := errors.AsType[*CorruptError](err); !ok {
			return nil, err
		}
		d.manifest = &manifest{Version: manifestVersion} // this import makes a new one
	}
	if err := d.clean(); err != nil {
		return nil, err
	}
	for _, name := range []string{indexFolder, stagingFolder} {
		if err := d.root.Mkdir(name, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	if err := adopt(d.root, lockName, indexFolder, stagingFolder); err != nil {
		return nil, err
	}
	d.staging, err = d.root.OpenRoot(stagingFolder)
	return d, err
}

// clean removes the staging folder and the index files that no generation names.
func (d *database) clean() error {
	if err := d.root.RemoveAll(stagingFolder); err != nil {
		return err
	}
	used := make(map[string]bool)
	for _, g := range []*Generation{&d.manifest.Current, d.manifest.Previous} {
		if g == nil {
			continue
		}
		for _, c := range g.all() {
			used[c.File] = true
		}
	}
	entries, err := fs.ReadDir(d.root.FS(), indexFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !used[e.Name()] {
			err = errors.Join(err, d.root.RemoveAll(filepath.Join(indexFolder, e.Name())))
		}
	}
	return err
}

// commit makes imported and kept, together with what they do not replace, the current generation, and the present one the
// previous. Kept are ecosystems of the present one whose source has nothing new.
func (d *database) commit(imported, kept []Coverage) error {
	next := d.manifest.Current.clone()
	for _, c := range imported {
		// The synced file moves to its place; it is not used until the manifest names it.
		if err := d.root.Rename(filepath.Join(stagingFolder, c.File), filepath.Join(indexFolder, c.File)); err != nil {
			return err
		}
		next.put(c)
	}
	for _, c := range kept {
		next.put(c)
	}
	next.identify()
	m := *d.manifest
	if next.ID != m.Current.ID { // else it is the same content, from another source or at another time
		next.Imported = time.Now().UTC()
		if m.Current.ID != "" {
			m.Previous = &d.manifest.Current
		}
	}
	m.Current = *next
	return d.replaceManifest(&m)
}

func (d *database) replaceManifest(m *manifest) error {
	folder, err := d.root.OpenRoot(indexFolder)
	if err != nil {
		return err
	}
	if err := errors.Join(atomicfile.Sync(folder), folder.Close()); err != nil {
		return err
	}
	if err := m.write(d.root); err != nil {
		return err
	}
	d.manifest = m
	return d.clean()
}

// close unlocks the folder. What is in staging is removed.
func (d *database) close() error {
	var err error
	if d.staging != nil {
		err = errors.Join(d.staging.Close(), d.root.RemoveAll(stagingFolder))
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	if d.root != nil {
		err = errors.Join(err, d.root.Close())
	}
	return err
}

// Rollback makes the previous generation the current one, and the current one the previous.
func Rollback(dir string) (err error) {
	d, err := openDatabase(dir)
	if err != nil {
		return fmt.Errorf("roll the vulnerability database back: %w", err)
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if d.manifest.Previous == nil {
		return errors.New("the vulnerability database has no previous generation to return to")
	}
	current := d.manifest.Current
	err = d.replaceManifest(&manifest{Version: manifestVersion, Current: *d.manifest.Previous, Previous: &current})
	if err != nil {
		return fmt.Errorf("roll the vulnerability database back: %w", err)
	}
	return nil
}

// Clean removes what an interrupted import left. The daemon calls it when it starts. It returns ErrBusy during an import.
func Clean(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	d, err := openDatabase(dir)
	if err != nil {
		return fmt.Errorf("clean the vulnerability database: %w", err)
	}
	return d.close()
}
