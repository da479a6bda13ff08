package suite

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ironpost/ironpost/internal/pidfile"
)

const (
	folderMode  = 0o700
	lockName    = "lock"
	machineName = "machine-id"
	machineSize = 16 // random bytes
)

// holding is what only one instance may have: the PID file, and the data folder
// for instances that use different PID files.
type holding struct{ pid, data *pidfile.File }

// hold makes the data folder, and takes it and the PID file.
func hold(g General) (holding, error) {
	pid, err := pidfile.Acquire(g.PIDFile)
	if err != nil {
		return holding{}, err
	}
	if err := writable(g.DataDir); err != nil {
		return holding{}, errors.Join(err, pid.Release())
	}
	data, err := pidfile.Acquire(filepath.Join(g.DataDir, lockName))
	if err != nil {
		return holding{}, errors.Join(err, pid.Release())
	}
	return holding{pid: pid, data: data}, nil
}

func (h holding) release() error { return errors.Join(h.data.Release(), h.pid.Release()) }

// writable makes dir, if it is missing, and tries to write in it.
func writable(dir string) error {
	err := os.MkdirAll(dir, folderMode)
	if err == nil {
		err = tryWrite(dir)
	}
	if err != nil {
		return fmt.Errorf("general.data_dir %s cannot be written by user %d: %w; give the user the folder or set general.data_dir to another",
			dir, os.Geteuid(), err)
	}
	return nil
}

// openToAll reports whether everybody may replace what is kept in dir. A container's volume may be so.
func openToAll(dir string) bool {
	const byAll = 0o002
	info, err := os.Stat(dir)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&byAll != 0
}

func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".try-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// machineID returns the random name of this data folder, made at the first start.
// It belongs to the folder, as the positions in it do: a line read again then gets
// the same id, and two containers of one image never share one.
func machineID(dataDir string) (string, error) {
	path := filepath.Join(dataDir, machineName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newMachineID(path)
	}
	if err != nil {
		return "", fmt.Errorf("machine id: %w", err)
	}
	id := strings.TrimSpace(string(b))
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != machineSize {
		return "", fmt.Errorf("machine id: %s does not hold %d bytes in hex: restore it, or remove it and accept that alerts of lines read again come twice", path, machineSize)
	}
	return id, nil
}

// newMachineID writes it whole or not at all.
func newMachineID(path string) (string, error) {
	raw := make([]byte, machineSize)
	rand.Read(raw)
	id := hex.EncodeToString(raw)
	f, err := os.CreateTemp(filepath.Dir(path), ".machine-id-*")
	if err != nil {
		return "", fmt.Errorf("machine id: %w", err)
	}
	_, err = f.WriteString(id + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("machine id: %w", err), os.Remove(f.Name()))
	}
	return id, nil
}
