//go:build !unix

package atomicfile

import "os"

// syncDir does nothing: this system has no sync of folders.
func syncDir(*os.File) error { return nil }
