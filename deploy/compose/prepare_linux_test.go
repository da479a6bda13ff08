package compose_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// After an interruption of any of its commands that make keys, prepare.sh makes every folder complete, and keeps those that were.
func TestPrepareGoesOnAfterAnInterruption(t *testing.T) {
	if os.Geteuid() != 0 {
		testenv.Require(t, "root", errors.New("not root"))
	}
	dir := t.TempDir()
	for _, name := range []string{"deploy/compose", "bin", "path"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	for _, name := range []string{"prepare.sh", "ironpost.toml"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "deploy/compose", name), text, 0o755))
	}
	script := func(path, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte("#!/bin/bash\n"+text), 0o755))
	}
	script("path/docker", "echo 20.10.24\n") // prepare.sh asks for the version alone
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "bin/real"), "../../cmd/ironpost").CombinedOutput()
	require.NoError(t, err, string(out))
	// The command whose number is in the file "at" loses the last file that it wrote, and prepare.sh ends there.
	script("bin/ironpost", fmt.Sprintf(`set -e
cd %q
echo >>calls
bin/real "$@"
[ "$(wc -l <calls)" != "$(cat at)" ] || { rm "$(find secrets/*.unfinished -name '*.key' -o -name '*.seed' | head -n 1)"; exit 1; }
`, dir))
	socket, err := net.Listen("unix", filepath.Join(dir, "docker.sock"))
	require.NoError(t, err)
	defer func() { require.NoError(t, socket.Close()) }()
	prepare := func(at int) error {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "at"), fmt.Appendln(nil, at), 0o600))
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "deploy/compose/prepare.sh"))
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "path")+":"+os.Getenv("PATH"), "DOCKER_SOCKET="+filepath.Join(dir, "docker.sock"))
		out, err := cmd.CombinedOutput()
		t.Logf("interrupted at command %d: %v %s", at, err, out)
		return err
	}
	files := func() map[string]string {
		found := map[string]string{}
		for _, pattern := range []string{"*/*", "*/*/*"} {
			paths, err := filepath.Glob(filepath.Join(dir, "secrets", pattern))
			require.NoError(t, err)
			for _, path := range paths {
				if text, err := os.ReadFile(path); err == nil {
					found[path[len(dir)+len("/secrets/"):]] = string(text)
				}
			}
		}
		return found
	}

	require.Error(t, prepare(1)) // bus init
	require.Error(t, prepare(3)) // the first bundle, after a second bus init
	require.Error(t, prepare(6)) // the third: the first is made again, and kept
	require.NoError(t, prepare(0))
	whole := files()
	for _, module := range []string{"ebpf-engine", "log-pipeline", "sbom-scanner", "container-guard", "action-collector"} {
		for _, name := range []string{"ca.pem", "client.pem", "client.key", module + ".seed"} {
			require.NotEmpty(t, whole[module+"/"+name], module+"/"+name)
		}
	}
	for _, name := range []string{"ca.key", "ca.pem", "server.key", "server.pem"} {
		require.NotEmpty(t, whole["authority/pki/"+name], name)
	}
	require.NoError(t, prepare(0))
	require.Equal(t, whole, files(), "complete folders are kept")
}
