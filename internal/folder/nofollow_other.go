//go:build !unix

package folder

// noFollow has no equivalent here; os.Root still keeps links from leading out of
// the folder.
const noFollow = 0
