package packages_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// The archive that the documented commands make holds every private key, so nobody else may read it. TestAcceptBoot
// restores one.
func TestDocumentedBackupIsPrivate(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"root", "etc/ironpost/bus", "var/lib/ironpost/pki"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o700))
	}
	key := filepath.Join(root, "var/lib/ironpost/pki/ca.key")
	require.NoError(t, os.WriteFile(key, []byte("secret"), 0o600))
	commands := strings.NewReplacer(" / ", " "+root+" ", "/root/", root+"/root/").Replace(testenv.Documented(t, "back-up of the state"))
	out, err := exec.CommandContext(t.Context(), "bash", "-euc", "systemctl() { :; }; umask 022; "+commands).CombinedOutput()
	require.NoError(t, err, string(out))
	archive := filepath.Join(root, "root/ironpost.tar.gz")
	info, err := os.Stat(archive)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	list, err := exec.CommandContext(t.Context(), "tar", "-tzf", archive).Output()
	require.NoError(t, err)
	require.Contains(t, string(list), "var/lib/ironpost/pki/ca.key\n")
	require.Contains(t, string(list), "etc/ironpost/bus/\n")
}
