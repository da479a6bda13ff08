//go:build !unix

package blocklist

import "os"

func open(path string) (*os.File, error) { return os.Open(path) }
