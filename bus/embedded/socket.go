package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// MaxSocketPath is the longest Config.Socket in bytes: with bindingSuffix, and its
// final zero byte, it fits sockaddr_un, here and on the BSDs.
const MaxSocketPath = 103 - len(bindingSuffix)

const (
	socketMode   = 0o660
	parentMode   = 0o750
	probeTimeout = 200 * time.Millisecond
)

// socketListener is a unix listener that removes its path when it closes, if the
// path is still its own.
type socketListener struct {
	*net.UnixListener
	path string
	info fs.FileInfo
}

// listenSocket binds path with mode 0660 and, if there is one, that group.
// It makes the parent folder if it is missing, and takes the place of a socket
// that nobody answers on; anything else in its way is an error.
//
// The socket is bound beside its place and moved there when its mode is right:
// nobody can reach it before.
func listenSocket(path string, gid int) (*socketListener, error) {
	if len(path) > MaxSocketPath {
		return nil, fmt.Errorf("socket path %s is longer than %d bytes", path, MaxSocketPath)
	}
	if err := checkParent(filepath.Dir(path), gid); err != nil {
		return nil, err
	}
	if err := checkPathFree(path); err != nil {
		return nil, err
	}
	return bindSocket(path, gid)
}

const bindingSuffix = ".new"

func bindSocket(path string, gid int) (*socketListener, error) {
	binding := path + bindingSuffix
	if err := removeLeftover(binding); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: binding, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("bind socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	own, err := moveIntoPlace(binding, path, gid)
	if err != nil {
		_ = l.Close()
		_ = os.Remove(binding)
		return nil, err
	}
	return &socketListener{UnixListener: l, path: path, info: own}, nil
}

// moveIntoPlace gives the bound socket its owner and mode, moves it to path and returns
// what it is.
func moveIntoPlace(binding, path string, gid int) (fs.FileInfo, error) {
	if err := chownGroup(binding, gid); err != nil {
		return nil, err
	}
	if err := os.Chmod(binding, socketMode); err != nil {
		return nil, err
	}
	if err := os.Rename(binding, path); err != nil {
		return nil, err
	}
	return os.Lstat(path)
}

// Close stops listening and removes the path unless another process has put
// something else there.
func (l *socketListener) Close() error {
	err := l.UnixListener.Close()
	if now, lerr := os.Lstat(l.path); lerr == nil && os.SameFile(now, l.info) {
		return errors.Join(err, os.Remove(l.path))
	}
	return err
}

// checkParent makes dir if it is missing and refuses one in which someone else
// could put things in our way.
func checkParent(dir string, gid int) error {
	if err := makeParent(dir, gid); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("socket folder %s is a link or a file; name the folder itself", dir)
	}
	if uid, known := fileOwner(info); known && uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("socket folder %s belongs to uid %d, who could put another socket there", dir, uid)
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("socket folder %s may be written by anyone; take that right away", dir)
	}
	return nil
}

func makeParent(dir string, gid int) error {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // as /run is: members of the group pass through
		return err
	}
	if err := os.Mkdir(dir, parentMode); err != nil {
		return err
	}
	return chownGroup(dir, gid) // or the group could not reach its socket
}

// chownGroup hands path to a group. A user who may not, keeps it.
func chownGroup(path string, gid int) error {
	if gid == noGroup {
		return nil
	}
	if err := os.Lchown(path, -1, gid); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("give %s to its group: %w", path, err)
	}
	return nil
}

// checkPathFree reports why path cannot become our socket: something that is not a
// socket lies there, or somebody answers.
func checkPathFree(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket; remove it or choose another path", path)
	}
	return checkStale(path)
}

// checkStale reports whether the socket at path is a stale one.
func checkStale(path string) error {
	c, err := (&net.Dialer{Timeout: probeTimeout}).DialContext(context.Background(), "unix", path)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask who owns socket %s: %w", path, err)
	}
	_ = c.Close()
	return fmt.Errorf("another process listens on %s", path)
}

// removeLeftover removes what a killed start of ours left beside the path.
func removeLeftover(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket; remove it", path)
	}
	return os.Remove(path)
}
