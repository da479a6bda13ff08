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

	"github.com/ironpost/ironpost/internal/atomicfile"
	"github.com/ironpost/ironpost/internal/pidfile"
)

const (
	folderMode  = 0o700
	lockName    = "lock"
	machineName = "machine-id"
	machineSize = 16 // random bytes
)

// instanceLock keeps a second instance of a program out: by a lock in the program's folder, where no other
// user can take it. The PID file tells who runs, and refuses an instance with another folder.
type instanceLock struct{ pid, data *pidfile.File }

// lockInstance makes the program's folder, locks it, and writes the PID file.
func lockInstance(program Program, g General) (instanceLock, error) {
	dir, pidFile := program.instance(g)
	if err := ensureWritable(dir); err != nil {
		return instanceLock{}, err
	}
	data, err := pidfile.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return instanceLock{}, err
	}
	pid, err := pidfile.Write(pidFile)
	if err != nil {
		return instanceLock{}, errors.Join(err, data.Release())
	}
	return instanceLock{pid: pid, data: data}, nil
}

// release gives up what lockInstance took, if anything.
func (l instanceLock) release() error {
	if l.data == nil {
		return nil
	}
	return errors.Join(l.pid.Release(), l.data.Release())
}

// ensureWritable makes dir, if it is missing, and tries to write in it.
func ensureWritable(dir string) error {
	err := os.MkdirAll(dir, folderMode)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, ".try-*"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("general.data_dir %s cannot be written by user %d: %w; give the user the folder or set general.data_dir to another",
			dir, os.Geteuid(), err)
	}
	return nil
}

// worldWritable reports whether any user may replace files in dir, as in some volumes of containers.
func worldWritable(dir string) bool {
	const others = 0o002
	info, err := os.Stat(dir)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&others != 0
}

// machineID returns the random id of the program's folder dir, made at the first start. It
// belongs to the folder, as the positions in log files do: a line that is read again then
// gets the same event id, and two containers of one image never share an id. The first start of
// one module takes over the id of the daemon's folder dataDir, as it does its positions. known is the id that the
// manifest remembers, "" if none: it is written back in place of another. reason says that the file was not as it was left.
func machineID(dir, dataDir, known string) (id, reason string, err error) {
	path := filepath.Join(dir, machineName)
	id, err = readMachineID(path)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err == nil && (known == "" || known == id):
		return id, "", nil
	case known != "":
		reason, id = fmt.Sprintf("%s was gone, damaged or changed: the id was written back", path), known
	case missing && dir != dataDir:
		id, err = readMachineID(filepath.Join(dataDir, machineName))
		if err != nil {
			id = newMachineID()
		}
	default:
		id = newMachineID()
		if !missing {
			reason = fmt.Sprintf("%s was damaged (%v) and is made anew: lines that are read again are reported twice", path, err)
		}
	}
	if err := atomicfile.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		return "", "", fmt.Errorf("machine id: %w", err)
	}
	return id, reason, nil
}

func newMachineID() string {
	raw := make([]byte, machineSize)
	rand.Read(raw)
	return hex.EncodeToString(raw)
}

func readMachineID(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(b))
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != machineSize {
		return "", fmt.Errorf("it does not hold %d bytes in hex", machineSize)
	}
	return id, nil
}
