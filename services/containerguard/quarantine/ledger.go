package quarantine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ironpost/ironpost/internal/docker"
)

const (
	ledgerFolder = "quarantine"
	doneFile     = "done.json"
	// maxEntry is bytes of one file. It is above what is ever written, for an entry that
	// cannot be read back is a way back lost: an answer of the engine has at most 64 MiB,
	// mostly labels, and JSON may write a byte as six.
	maxEntry = 512 << 20
	maxDone  = 4096 // action ids remembered after release
)

// ledger keeps entries in files, one for each container, that survive a crash at
// any moment: a file is written whole beside the old one, synced and renamed.
// Nothing is opened through a link that leads elsewhere. It is safe for
// concurrent use on different containers.
type ledger struct {
	root *os.Root
	dir  *os.File // to sync renames

	mu   sync.Mutex
	done []string // action ids that were released, so that they are not applied again

	damaged []string // what was put aside as the ledger was opened, and why
}

// errDamaged says that a file is not what the ledger wrote.
var errDamaged = errors.New("damaged")

// damagedSuffix ends the names of files that were put aside.
const damagedSuffix = ".damaged"

// openLedger opens or makes the ledger below dataDir.
func openLedger(dataDir string) (*ledger, error) {
	path := filepath.Join(dataDir, ledgerFolder)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	dir, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ledger: %w", err), root.Close())
	}
	l := &ledger{root: root, dir: dir}
	if err := l.aside(doneFile, l.read(doneFile, &l.done)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// aside handles err about a file: one that is damaged is renamed, so that it is
// neither overwritten nor in the way of the others, and noted; any other error is
// returned.
func (l *ledger) aside(name string, err error) error {
	if !errors.Is(err, errDamaged) {
		return err
	}
	if failed := l.root.Rename(name, name+damagedSuffix); failed != nil {
		return errors.Join(err, failed)
	}
	l.damaged = append(l.damaged, fmt.Sprintf("%v; it is %s now, what it held stays as it is", err, name+damagedSuffix))
	return l.sync()
}

func (l *ledger) close() error { return errors.Join(l.dir.Close(), l.root.Close()) }

// load returns every entry that is not damaged. The error names what cannot be
// read.
func (l *ledger) load() ([]*Entry, error) {
	names, err := fs.ReadDir(l.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	var out []*Entry
	var bad []error
	for _, n := range names {
		id, isEntry := strings.CutSuffix(n.Name(), ".json")
		if !isEntry || !docker.ValidID(id) {
			continue
		}
		e, err := l.entry(id, n.Name())
		if err != nil {
			bad = append(bad, l.aside(n.Name(), err))
			continue
		}
		e.Order.Container = e.Before
		out = append(out, e)
	}
	return out, errors.Join(bad...)
}

// entry reads the entry about the container id.
func (l *ledger) entry(id, name string) (*Entry, error) {
	e := &Entry{}
	if err := l.read(name, e); err != nil {
		return nil, err
	}
	if e.Version != entryVersion || e.Before.ID != id {
		return nil, fmt.Errorf("ledger: %s: %w: not an entry of version %d about that container", name, errDamaged, entryVersion)
	}
	return e, nil
}

func (l *ledger) save(e *Entry) error { return l.write(e.Before.ID+".json", e) }

// remove deletes an entry, and remembers its orders as done first.
func (l *ledger) remove(e *Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = append(l.done, e.Orders...)
	l.done = slices.Clone(l.done[max(0, len(l.done)-maxDone):])
	if err := l.write(doneFile, l.done); err != nil {
		return err
	}
	if err := l.root.Remove(e.Before.ID + ".json"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ledger: %w", err)
	}
	return l.sync()
}

// isDone tells whether an order was applied and released.
func (l *ledger) isDone(actionID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.done, actionID)
}

func (l *ledger) read(name string, into any) error {
	f, err := l.root.OpenFile(name, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxEntry+1))
	if err != nil {
		return fmt.Errorf("ledger: %s: %w", name, err)
	}
	if len(raw) > maxEntry {
		return fmt.Errorf("ledger: %s: %w: longer than %d bytes", name, errDamaged, maxEntry)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("ledger: %s: %w: %w", name, errDamaged, err)
	}
	return nil
}

func (l *ledger) write(name string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("ledger: %s: %w", name, err)
	}
	if err := writeWhole(l.root, name, raw); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return l.sync()
}

func (l *ledger) sync() error {
	if err := l.dir.Sync(); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// writeWhole puts a file in place in one step. The name before the rename is the
// name with a dot: who writes one name holds that container's lock.
func writeWhole(root *os.Root, name string, raw []byte) error {
	temporary := "." + name
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Rename(temporary, name)
}
