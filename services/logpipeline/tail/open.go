package tail

import "os"

// OpenRegular opens the regular file at path for reading, as followed files are: nothing else is opened, not even for a moment, nor a link of another
// user than its target's.
func OpenRegular(path string) (*os.File, error) {
	file, _, err := openRegular(path)
	return file, err
}
