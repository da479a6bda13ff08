package ownership_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/internal/ownership"
	"github.com/ironpost/ironpost/internal/testenv"
)

const nobody = 65534

// tree makes folders and files below a new folder: rules/a.yml, rules/sub/b.yml and rules/notes.
func tree(t *testing.T) string {
	t.Helper()
	var root error
	if os.Getuid() != 0 {
		root = errors.New("not root")
	}
	testenv.Require(t, "another user", root)
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "rules/sub"), 0o755))
	for _, name := range []string{"rules/a.yml", "rules/sub/b.yml", "rules/notes"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	return dir
}

func TestWhatOthersCanChangeIsNamedWithTheCommandThatMendsIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, path, what string
		uid, gid         int
		mode             os.FileMode
	}{
		{"file of another user", "rules/a.yml", "belongs to user nobody (65534) and has mode 0644", nobody, 0, 0o644},
		{"folder of another user", "rules", "belongs to user nobody (65534) and has mode 0755", nobody, 0, 0o755},
		{"folder above of another user", ".", "belongs to user nobody (65534)", nobody, 0, 0o755},
		{"file that all may write", "rules/sub/b.yml", "of user root (0) may be written by everyone (mode 0666)", 0, 0, 0o666},
		{"folder that all may write", "rules/sub", "may be written by everyone (mode 0777)", 0, 0, 0o777},
		{"sticky folder with the files", "rules", "may be written by everyone (mode 1777)", 0, 0, 0o777 | os.ModeSticky},
		{"file of a group", "rules/a.yml", "may be written by its group nogroup (65534) or by an access control list (mode 0664)", 0, nobody, 0o664},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t)
			rules, at := filepath.Join(dir, "rules"), filepath.Join(dir, tt.path)
			require.NoError(t, ownership.Self().CheckTree(rules, ".yml"))
			require.NoError(t, errors.Join(os.Chown(at, tt.uid, tt.gid), os.Chmod(at, tt.mode)))
			err := ownership.Self().CheckTree(rules, ".yml")
			var refused *ownership.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, at, refused.Path)
			require.Contains(t, refused.What, tt.what)
			require.Contains(t, err.Error(), at+" "+refused.What)
			out, err := exec.Command("sh", "-c", refused.Mend).CombinedOutput()
			require.NoError(t, err, "%s: %s", refused.Mend, out)
			require.NoError(t, ownership.Self().CheckTree(rules, ".yml"), "mended by %s", refused.Mend)
		})
	}
}

func TestWhatOnlyTrustedUsersCanChangeIsAccepted(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	rules := filepath.Join(dir, "rules")
	require.NoError(t, os.Chmod(dir, 0o777|os.ModeSticky), "as /tmp is")
	require.NoError(t, os.Chown(filepath.Join(rules, "notes"), nobody, 0), "it has no extension of a rule")
	require.NoError(t, ownership.Self().CheckTree(rules, ".yml"))
	require.NoError(t, ownership.Self().Check(filepath.Join(rules, "missing/a.yml")))
	require.NoError(t, os.Chmod(rules, 0o775), "root's own group")
	require.NoError(t, ownership.Self().CheckTree(rules, ".yml"))
	require.NoError(t, os.Chown(filepath.Join(rules, "a.yml"), nobody, 0))
	require.NoError(t, ownership.Users{0, nobody}.CheckTree(rules, ".yml"))
	require.Error(t, ownership.Self().CheckTree(rules, ".yml"))
}

func TestLinksAreFollowed(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	link := filepath.Join(dir, "rules/c.yml")
	theirs := filepath.Join(dir, "theirs")
	require.NoError(t, os.Mkdir(theirs, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(theirs, "c.yml"), nil, 0o644))
	require.NoError(t, os.Symlink("../theirs/c.yml", link))
	check := func() error { return ownership.Self().CheckTree(filepath.Join(dir, "rules"), ".yml") }
	require.NoError(t, check())
	require.NoError(t, os.Chown(theirs, nobody, 0))
	require.ErrorContains(t, check(), theirs+" belongs to user nobody")
	require.NoError(t, os.Chown(theirs, 0, 0))
	require.NoError(t, os.Lchown(link, nobody, 0))
	require.ErrorContains(t, check(), link+" belongs to user nobody")
	require.NoError(t, os.Lchown(link, 0, 0))
	require.NoError(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	require.NoError(t, ownership.Self().Check(filepath.Join(dir, "loop")), "whoever opens it says so")
}

func TestCountOfFurtherProblems(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	for _, name := range []string{"rules/a.yml", "rules/sub/b.yml"} {
		require.NoError(t, os.Chmod(filepath.Join(dir, name), 0o666))
	}
	require.ErrorContains(t, ownership.Self().CheckTree(filepath.Join(dir, "rules"), ".yml"), "and 1 more below "+filepath.Join(dir, "rules"))
}

// An access control list may let a user write to a file of the owner's own group.
func TestAccessControlListsCount(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	path := filepath.Join(dir, "rules/a.yml")
	type entry struct {
		Tag, Perm uint16
		ID        uint32
	}
	const owner, user, group, mask, other, none = 1, 2, 4, 16, 32, 1<<32 - 1 // linux/posix_acl.h
	var list bytes.Buffer
	require.NoError(t, binary.Write(&list, binary.LittleEndian, uint32(2))) // version
	require.NoError(t, binary.Write(&list, binary.LittleEndian, []entry{{owner, 6, none}, {user, 6, nobody}, {group, 4, none}, {mask, 6, none}, {other, 4, none}}))
	testenv.Require(t, "acl", unix.Setxattr(path, "system.posix_acl_access", list.Bytes(), 0))
	require.ErrorContains(t, ownership.Self().Check(path), "access control list")
}
