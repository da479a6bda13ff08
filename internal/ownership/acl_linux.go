package ownership

import "golang.org/x/sys/unix"

// hasACL reports whether path has an access control list: the mode's group bits then are what it permits at most, to anyone it names (acl(5)).
func hasACL(path string) bool {
	n, err := unix.Lgetxattr(path, "system.posix_acl_access", nil)
	return err == nil && n > 0
}
