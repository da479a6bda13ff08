//go:build unix

package atomicfile

import "os"

func syncDir(dir *os.File) error { return dir.Sync() }
