//go:build unix

package credential

import (
	"os"
	"syscall"
)

// giveToOwner gives the file called name to the owner of root, if this process may.
func giveToOwner(root *os.Root, name string) error {
	info, err := root.Stat(".")
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return root.Lchown(name, int(st.Uid), int(st.Gid))
}
