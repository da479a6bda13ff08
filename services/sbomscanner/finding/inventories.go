package finding

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/folder"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// MaxPackages is how many packages Inventories holds, of all assets.
const MaxPackages = 1_000_000

// Inventories are the inventories of the last scans, in memory and in a folder, so that a new database is matched without a scan. In
// memory they have no dependencies and licenses. It is for one goroutine.
type Inventories struct {
	dir      *folder.Folder
	held     map[string]*inventory.Inventory // by the asset's key
	packages int
}

// inventoryFile is the content of the file of one inventory.
type inventoryFile struct {
	Version int `json:"version"`
	*inventory.Inventory
}

// OpenInventories reads the folder at path, which is made if it is missing. Files that cannot be read are removed, problems names
// them: the next scan writes them again. The caller must call Close.
func OpenInventories(path string) (s *Inventories, problems []string, err error) {
	dir, err := folder.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("folder of inventories: %w", err)
	}
	s = &Inventories{dir: dir, held: map[string]*inventory.Inventory{}}
	names, err := dir.Names()
	for _, name := range names {
		if !strings.HasSuffix(name, suffix) || strings.HasPrefix(name, ".") {
			continue
		}
		if bad := s.load(name); bad != nil {
			problems = append(problems, fmt.Sprintf("%s was %v: removed, the next scan writes it again", dir.Path(name), bad))
			err = errors.Join(err, dir.Remove(name))
		}
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("folder of inventories: %w", err), dir.Close())
	}
	return s, problems, nil
}

func (s *Inventories) load(name string) error {
	data, err := s.dir.Read(name, maxFile)
	if err != nil {
		return fmt.Errorf("unreadable: %w", err)
	}
	inv, err := DecodeInventory(data)
	if err != nil {
		return err
	}
	if fileName(inv.Asset.Key()) != name {
		return errors.New("of another asset")
	}
	if s.packages+len(inv.Packages) > MaxPackages {
		return ErrTooMany
	}
	s.hold(inv)
	return nil
}

// DecodeInventory reads the file of one inventory.
func DecodeInventory(data []byte) (*inventory.Inventory, error) {
	f := inventoryFile{Inventory: &inventory.Inventory{}}
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	if f.Version != version {
		return nil, fmt.Errorf("of version %d, not %d", f.Version, version)
	}
	if f.Inventory == nil || f.Asset.Name == "" || f.Asset.Kind == "" {
		return nil, errors.New("damaged: no asset")
	}
	return f.Inventory, nil
}

// Close releases the folder.
func (s *Inventories) Close() error { return s.dir.Close() }

// hold keeps what matching needs of inv.
func (s *Inventories) hold(inv *inventory.Inventory) {
	lean := *inv
	lean.Packages = make([]inventory.Package, len(inv.Packages))
	for i, p := range inv.Packages {
		p.DependsOn, p.Licenses = nil, nil
		lean.Packages[i] = p
	}
	if before := s.held[inv.Asset.Key()]; before != nil {
		s.packages -= len(before.Packages)
	}
	s.packages += len(lean.Packages)
	s.held[inv.Asset.Key()] = &lean
}

// Put saves the inventory of a scan and reports whether it differs from the one before.
func (s *Inventories) Put(inv *inventory.Inventory) (changed bool, err error) {
	data, err := json.Marshal(inventoryFile{version, inv})
	if err != nil {
		return false, fmt.Errorf("encode inventory: %w", err)
	}
	key := inv.Asset.Key()
	before := s.held[key]
	had := 0
	if before != nil {
		had = len(before.Packages)
	}
	if len(data) > maxFile || s.packages+len(inv.Packages)-had > MaxPackages {
		return false, fmt.Errorf("%w: the inventory of %s has %d packages", ErrTooMany, event.Printable(inv.Asset.Name, 200), len(inv.Packages))
	}
	if before != nil {
		if old, err := s.dir.Read(fileName(key), maxFile); err == nil && bytes.Equal(old, data) {
			return false, nil
		}
	}
	if err := s.dir.Write(fileName(key), data); err != nil {
		return false, fmt.Errorf("save inventory: %w", err)
	}
	s.hold(inv)
	return true, nil
}

// Get returns the inventory of the asset with that key, without dependencies and licenses, nil if there is none.
func (s *Inventories) Get(key string) *inventory.Inventory { return s.held[key] }

// Full returns the saved inventory of the asset with that key.
func (s *Inventories) Full(key string) (*inventory.Inventory, error) {
	data, err := s.dir.Read(fileName(key), maxFile)
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	return DecodeInventory(data)
}

// Remove forgets the asset with that key.
func (s *Inventories) Remove(key string) error {
	before := s.held[key]
	if before == nil {
		return nil
	}
	if err := s.dir.Remove(fileName(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget inventory: %w", err)
	}
	s.packages -= len(before.Packages)
	delete(s.held, key)
	return nil
}

// Keys returns the keys of the assets with an inventory.
func (s *Inventories) Keys() []string {
	out := make([]string, 0, len(s.held))
	for key := range s.held {
		out = append(out, key)
	}
	return out
}

// Packages returns how many packages all inventories have.
func (s *Inventories) Packages() int { return s.packages }
