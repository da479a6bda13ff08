package embedded

import "golang.org/x/sys/unix"

// FreeSpace returns how many bytes this process can still write at path.
func FreeSpace(path string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}
