//go:build !unix

package audit

import "os"

// openRead opens a file of the trail.
func openRead(path string) (*os.File, error) { return os.Open(path) }

// openWrite opens or creates a segment for appending.
func openWrite(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
}

// lockDir does not lock here: the daemon itself runs only once.
func lockDir(dir string) (*os.File, error) { return openWrite(dir + "/lock") }

// syncDir does nothing: folders cannot be synced here.
func syncDir(string) error { return nil }

// diskFull is not told apart here.
func diskFull(error) bool { return false }
