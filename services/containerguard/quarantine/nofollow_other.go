//go:build !unix

package quarantine

// noFollow is not known here; os.Root keeps links from leading out of the folder.
const noFollow = 0
