//go:build !unix

package folder

import "os"

// noFollow is not known here; os.Root keeps links from leading out of the folder.
const noFollow = 0

// syncNames does nothing where a folder cannot be synced.
func syncNames(*os.File) error { return nil }
