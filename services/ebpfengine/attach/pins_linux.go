package attach

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// bpffs is where the bpf file system belongs (bpf(2), BPF_OBJ_PIN).
const bpffs = "/sys/fs/bpf"

// Pins is a folder on a bpf file system that keeps links and maps alive without a process; with the zero value nothing is pinned.
// Each network namespace has its own below the folder given to OpenPins, so that daemons in several do not share pins.
type Pins struct{ dir string }

// OpenPins makes the folder of this network namespace below dir, mode 0700. Where dir is not on a bpf file system, it mounts one:
// at /sys/fs/bpf for a dir below that, else at dir itself. The bpf file system allows no dots in names. Folders that other users
// may write to are refused.
func OpenPins(dir string) (Pins, error) {
	if err := mountFor(dir); err != nil {
		return Pins{}, err
	}
	namespace, err := networkNamespace()
	if err != nil {
		return Pins{}, err
	}
	p := Pins{dir: filepath.Join(dir, "net-"+namespace)}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return Pins{}, fmt.Errorf("folder for pins: %w", err)
	}
	if err := errors.Join(checkOwner(dir, unix.S_ISVTX), checkOwner(p.dir, 0)); err != nil {
		return Pins{}, err
	}
	return p, nil
}

// checkOwner refuses a folder that other users may write to: programs pinned there are taken over, and some systems mount the bpf
// file system writable for all users. A folder with the mode bits of except is accepted: in a sticky one, other users cannot remove
// our folder.
func checkOwner(dir string, except uint32) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("folder for pins %s: %w", dir, err)
	}
	trusted := st.Uid == 0 || int64(st.Uid) == int64(os.Geteuid())
	shared := st.Mode&0o022 != 0 && st.Mode&except == 0
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || shared || !trusted {
		return fmt.Errorf("folder for pins %s may be written by other users (mode %o, owner %d): remove it", dir, st.Mode&0o7777, st.Uid)
	}
	return nil
}

// Dir returns the folder.
func (p Pins) Dir() string { return p.dir }

// mountFor mounts a bpf file system where dir, which may not exist yet, is not on one.
func mountFor(dir string) error {
	at := dir
	if strings.HasPrefix(dir, bpffs+"/") {
		at = bpffs
	}
	existing := dir
	for existing != "/" {
		if _, err := os.Lstat(existing); err == nil {
			break
		}
		existing = filepath.Dir(existing)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(existing, &st); err != nil {
		return fmt.Errorf("file system of %s: %w", existing, err)
	}
	if uint32(st.Type) == unix.BPF_FS_MAGIC {
		return nil
	}
	if err := os.MkdirAll(at, 0o700); err != nil {
		return fmt.Errorf("mount point of a bpf file system: %w", err)
	}
	source := "bpf"
	if inContainer() {
		source = containerSource
	}
	if err := unix.Mount(source, at, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount a bpf file system at %s: %w", at, err)
	}
	return nil
}

// networkNamespace returns the inode of the namespace this thread is in.
func networkNamespace() (string, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return "", fmt.Errorf("network namespace: %w", err)
	}
	return fmt.Sprint(st.Ino), nil
}

// PinnedInterfaces returns the names of the interfaces that a link pinned below dir keeps a program on, in this network namespace.
// It returns nothing where the pins may not be read.
func PinnedInterfaces(dir string) []string {
	namespace, err := networkNamespace()
	if err != nil {
		return nil
	}
	pinned, _ := Pins{dir: filepath.Join(dir, "net-"+namespace)}.PinnedInterfaces(nil) // those that can be read
	var names []string
	for _, on := range pinned {
		names = append(names, on.Name)
	}
	return names
}

// PinnedInterfaces returns the interfaces, besides those known, that a pinned link keeps a program on. With an error the result
// may be incomplete.
func (p Pins) PinnedInterfaces(known []Interface) ([]Interface, error) {
	indexes, err := p.indexes()
	if err != nil {
		return nil, err
	}
	var out []Interface
	var errs []error
	for _, index := range indexes {
		if slices.ContainsFunc(known, func(i Interface) bool { return i.Index == index }) {
			continue
		}
		on, alive, err := p.readLink(index)
		if alive {
			out = append(out, on)
		}
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

// readLink returns interface index and whether its pinned link keeps a program on it.
func (p Pins) readLink(index int) (on Interface, alive bool, err error) {
	path := p.linkPath(index)
	pinned, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return Interface{}, false, nil
	}
	if err == nil {
		on, alive, err = targetOf(pinned, index)
		err = errors.Join(err, pinned.Close())
	}
	if err != nil {
		return Interface{}, false, fmt.Errorf("pinned link %s: %w", path, err)
	}
	return on, alive, nil
}

// linkPath returns the path of an interface's link. It has the index and not the name, which may have a dot.
func (p Pins) linkPath(index int) string {
	return filepath.Join(p.dir, fmt.Sprintf("%s%d", linkPrefix, index))
}

const linkPrefix = "xdp_"

// indexes returns the indexes of the interfaces with a pinned link.
func (p Pins) indexes() ([]int, error) {
	if p.dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pinned links: %w", err)
	}
	var out []int
	for _, e := range entries {
		var index int
		if _, err := fmt.Sscanf(e.Name(), linkPrefix+"%d", &index); err == nil && e.Name() == filepath.Base(p.linkPath(index)) {
			out = append(out, index)
		}
	}
	return out, nil
}
