//go:build !unix

package audit

import "os"

// openRead opens a file of the trail for reading.
func openRead(path string) (*os.File, error) { return os.Open(path) }

// openWrite opens or creates a segment for appending.
func openWrite(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
}

// lockDir does not lock on this system; the daemon's own lock keeps a second one away.
func lockDir(dir string) (*os.File, error) { return openWrite(dir + "/lock") }

// diskFull returns false: the error is not distinguished on this system.
func diskFull(error) bool { return false }
