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

// MaxSocketPath is the longest Config.Socket in bytes: with bindingSuffix and a final zero
// byte it fits sockaddr_un, also on the BSDs.
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

// listenSocket listens on path with mode 0660 and, if there is one, the group gid. It makes
// the parent folder if it is missing, and replaces a stale socket; anything else at path is
// an error.
//
// The socket is bound beside its path and moved there when its mode is set: no client
// can connect before.
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

// moveIntoPlace sets the group and mode of the bound socket, moves it to path and returns
// its file info.
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

// Close stops listening and removes the path, unless another process has replaced it.
func (l *socketListener) Close() error {
	err := l.UnixListener.Close()
	if now, lerr := os.Lstat(l.path); lerr == nil && os.SameFile(now, l.info) {
		return errors.Join(err, os.Remove(l.path))
	}
	return err
}

// checkParent makes dir if it is missing, and returns an error if another user could replace
// files in it.
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
		return fmt.Errorf("socket folder %s is writable by anyone; remove that permission", dir)
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
	return chownGroup(dir, gid) // so that it can reach the socket
}

// chownGroup gives path to a group, if this user may.
func chownGroup(path string, gid int) error {
	if gid == noGroup {
		return nil
	}
	if err := os.Lchown(path, -1, gid); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("give %s to its group: %w", path, err)
	}
	return nil
}

// checkPathFree returns an error if path is something else than a stale socket.
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

// checkStale returns an error if a process listens on the socket at path.
func checkStale(path string) error {
	c, err := (&net.Dialer{Timeout: probeTimeout}).DialContext(context.Background(), "unix", path)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("check socket %s: %w", path, err)
	}
	_ = c.Close()
	return fmt.Errorf("another process listens on %s", path)
}

// removeLeftover removes a socket that a killed start left beside the path.
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
