package quarantine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/folder"
)

const (
	ledgerFolder = "quarantine"
	doneFile     = "done.json"
	// maxEntry bounds the bytes of one file. It is above everything that is written, since an
	// entry that cannot be read back is a container that cannot be restored: an answer of
	// dockerd has at most 64 MiB, mostly labels, and JSON may write a byte as six.
	maxEntry = 512 << 20
	maxDone  = 4096 // action ids remembered after their release
)

// ledger is the entries on the disk, one file for each container. It is safe for
// concurrent use on different containers.
type ledger struct {
	folder  *folder.Folder
	reserve reserve

	mu   sync.Mutex
	done []string // action ids that were released and must not be applied again

	failed atomic.Pointer[error] // why the newest record is not on the disk; nil if it is

	damaged    []string        // what was moved aside when the ledger was opened, and why
	damagedIDs map[string]bool // containers whose entries were moved aside, now or earlier
}

// errDamaged says that a file is not what the ledger wrote.
var errDamaged = errors.New("damaged")

// damagedSuffix ends the names of files that were moved aside.
const damagedSuffix = ".damaged"

// openLedger opens the ledger below dataDir, creating it if needed.
func openLedger(dataDir string) (*ledger, error) {
	f, err := folder.Open(filepath.Join(dataDir, ledgerFolder))
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	l := &ledger{folder: f, reserve: reserve{folder: f}, damagedIDs: map[string]bool{}}
	l.reserve.adopt()
	if err := l.moveAside(doneFile, l.read(doneFile, &l.done)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// moveAside handles an error about a file: a damaged file is renamed, so that it is not
// overwritten and does not keep the guard from starting; any other error is returned.
func (l *ledger) moveAside(name string, err error) error {
	if !errors.Is(err, errDamaged) {
		return err
	}
	if failed := l.folder.Rename(name, name+damagedSuffix); failed != nil {
		return errors.Join(err, failed)
	}
	l.damaged = append(l.damaged, fmt.Sprintf("%v; moved to %s, the container stays as it is", err, name+damagedSuffix))
	return nil
}

func (l *ledger) close() error { return l.folder.Close() }

// load returns every entry that is not damaged. The error names the files that cannot
// be read.
func (l *ledger) load() ([]*Entry, error) {
	names, err := l.folder.Names()
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	var out []*Entry
	var bad []error
	for _, name := range names {
		id, isEntry := strings.CutSuffix(strings.TrimSuffix(name, damagedSuffix), ".json")
		if !isEntry || !docker.ValidID(id) {
			continue
		}
		if strings.HasSuffix(name, damagedSuffix) {
			l.damagedIDs[id] = true
			continue
		}
		e, err := l.entry(id, name)
		if err != nil {
			l.damagedIDs[id] = true
			bad = append(bad, l.moveAside(name, err))
			continue
		}
		e.Order.Container = e.Before
		out = append(out, e)
	}
	return out, errors.Join(bad...)
}

// entry reads the entry of the container id.
func (l *ledger) entry(id, name string) (*Entry, error) {
	e := &Entry{}
	if err := l.read(name, e); err != nil {
		return nil, err
	}
	if e.Version != entryVersion || e.Before.ID != id {
		return nil, fmt.Errorf("ledger: %s: %w: not an entry of version %d for that container", name, errDamaged, entryVersion)
	}
	return e, nil
}

func (l *ledger) save(e *Entry) error { return l.write(e.Before.ID+".json", e) }

// remove records the orders of an entry as done, then deletes it.
func (l *ledger) remove(e *Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = append(l.done, e.ActionIDs...)
	l.done = slices.Clone(l.done[max(0, len(l.done)-maxDone):])
	if err := l.write(doneFile, l.done); err != nil {
		return err
	}
	if err := l.folder.Remove(e.Before.ID + ".json"); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// isDone reports whether an order was applied and released before.
func (l *ledger) isDone(actionID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.done, actionID)
}

func (l *ledger) read(name string, into any) error {
	raw, err := l.folder.Read(name, maxEntry)
	if errors.Is(err, folder.ErrTooLong) || errors.Is(err, folder.ErrNoFile) {
		return fmt.Errorf("ledger: %w: %w", errDamaged, err)
	}
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
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
	if err := l.put(name, raw); err != nil {
		err = fmt.Errorf("ledger: %w", err)
		l.failed.Store(&err)
		return err
	}
	l.failed.Store(nil)
	return nil
}

// put writes a file, on a full disk into reserved room.
func (l *ledger) put(name string, raw []byte) error {
	err := l.folder.Write(name, raw)
	if isDiskFull(err) {
		return l.reserve.write(name, raw, err)
	}
	return err
}

// reason says what is wrong with the disk of the ledger, empty if nothing is.
func (l *ledger) reason() string {
	if failed := l.failed.Load(); failed != nil {
		return fmt.Sprintf("%v; containers are frozen all the same, but not disconnected before that is written: free space on the disk of %s", *failed, l.folder.Path(""))
	}
	if missing, err := l.reserve.missing(); missing > 0 && err != nil {
		return fmt.Sprintf("disk of the ledger: %v; %d of %d reserved records are left: free space on the disk of %s", err, reservedFiles-missing, reservedFiles, l.folder.Path(""))
	}
	return ""
}
