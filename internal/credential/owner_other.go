//go:build !unix

package credential

import "os"

// giveToOwner does nothing: files have no numeric owner here.
func giveToOwner(*os.Root, string) error { return nil }
