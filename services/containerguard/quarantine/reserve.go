package quarantine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/ironpost/ironpost/internal/folder"
)

// The ledger reserves room while the disk has some: files whose blocks a record takes over
// when the disk is full. The blocks are never free in between, so that what fills the
// disk, often the log of the very container to be isolated, cannot take them.
const (
	reservedFiles  = 64
	reservedBytes  = 32 << 10 // of one; a record has some 5 KB
	reserveRefresh = time.Second
)

// reserve is the reserved files that are left. Its methods may be called concurrently, but
// fill not beside itself.
type reserve struct {
	folder *folder.Folder

	mu      sync.Mutex // held while a file of the reserve is made or used up
	names   []string
	problem error // why files are missing
}

func reservedName(i int) string { return fmt.Sprintf(".reserved-%02d", i) }

// adopt takes the files that an earlier run reserved.
func (r *reserve) adopt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range reservedFiles {
		if size, err := r.folder.Size(reservedName(i)); err == nil && size == reservedBytes {
			r.names = append(r.names, reservedName(i))
		}
	}
}

// fill makes the files that are missing, until one cannot be made.
func (r *reserve) fill() {
	content := make([]byte, reservedBytes)
	_, _ = rand.Read(content) // returns no error; random, so that no file system saves the room
	for i := range reservedFiles {
		if r.fillOne(reservedName(i), content) != nil {
			return
		}
	}
}

func (r *reserve) fillOne(name string, content []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.names, name) {
		return nil
	}
	if r.problem = r.folder.Write(name, content); r.problem == nil {
		r.names = append(r.names, name)
	}
	return r.problem
}

// write writes a file for which the disk is too full, as why says: into the blocks of a
// reserved file where that is possible, else into what its removal frees.
func (r *reserve) write(name string, raw []byte, why error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem = why
	err := why
	for isDiskFull(err) && len(r.names) > 0 {
		spare := r.names[len(r.names)-1]
		r.names = r.names[:len(r.names)-1]
		if len(raw) <= reservedBytes && r.folder.WriteOver(spare, name, raw) == nil {
			return nil
		}
		if removed := r.folder.Remove(spare); removed != nil {
			return errors.Join(err, removed)
		}
		err = r.folder.Write(name, raw)
	}
	return err
}

func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// missing returns how many files are missing, and why.
func (r *reserve) missing() (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return reservedFiles - len(r.names), r.problem
}
