//go:build accept

package packages_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// The tests work on what `make packages` built.
const (
	packages = "../../bin/packages"
	oldName  = "0.0.0~0" // older than every version
)

// newest returns the deb or rpm of a package that was built last.
func newest(t *testing.T, name, kind string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(packages, name+`[_\-][0-9]*.`+kind))
	require.NoError(t, err)
	require.NotEmpty(t, files, "make packages")
	latest := files[0]
	for _, f := range files {
		a, err := os.Stat(f)
		require.NoError(t, err)
		b, err := os.Stat(latest)
		require.NoError(t, err)
		if a.ModTime().After(b.ModTime()) {
			latest = f
		}
	}
	return latest
}

// older builds a deb of an earlier version with the same programs, another default configuration and another policy.
func older(t *testing.T) string {
	t.Helper()
	nfpm, err := filepath.Glob("../../bin/nfpm-*")
	require.NoError(t, err)
	require.Len(t, nfpm, 1, "make packages")
	dir := t.TempDir()
	config, err := os.ReadFile("ironpost.yaml")
	require.NoError(t, err)
	text := string(config)
	for _, name := range []string{"deploy/packages/ironpost.toml", "deploy/policies/notify.toml"} {
		now, err := os.ReadFile("../../" + name)
		require.NoError(t, err)
		before := filepath.Join(dir, filepath.Base(name))
		require.NoError(t, os.WriteFile(before, append([]byte("# an earlier text\n"), now...), 0o644))
		text = strings.Replace(text, "deploy/policies/*.toml, dst: /etc/ironpost/policies/,", before+", dst: /etc/ironpost/policies/notify.toml,", 1)
		text = strings.Replace(text, "src: "+name, "src: "+before, 1)
	}
	yaml := filepath.Join(dir, "old.yaml")
	require.NoError(t, os.WriteFile(yaml, []byte(text), 0o600))
	nfpmPath, err := filepath.Abs(nfpm[0])
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), nfpmPath, "package", "--config", yaml, "--packager", "deb", "--target", dir)
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "PACKAGE_VERSION="+oldName, "ARCH="+architecture(t))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	debs, err := filepath.Glob(dir + "/*.deb")
	require.NoError(t, err)
	require.Len(t, debs, 1)
	return debs[0]
}

func architecture(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOHOSTARCH").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// root is a Debian system in a folder.
type root struct {
	t   *testing.T
	dir string
}

// newRoot returns a copy of a minimal Debian with systemd, which the first test that needs one makes.
func newRoot(t *testing.T) *root {
	t.Helper()
	var notRoot error
	if os.Geteuid() != 0 {
		notRoot = os.ErrPermission
	}
	testenv.Require(t, "root", notRoot)
	const base = "../../bin/debian-root"
	if _, err := os.Stat(base + "/bin/systemctl"); err != nil {
		require.NoError(t, os.RemoveAll(base))
		run(t, "debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,procps,iproute2", "bookworm", base, "http://deb.debian.org/debian")
	}
	r := &root{t: t, dir: filepath.Join(t.TempDir(), "root")}
	run(t, "cp", "-a", base, r.dir)
	return r
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return string(out)
}

// in runs a command of the root, with a /proc of its own: systemd-tmpfiles makes nothing without one.
func (r *root) in(args ...string) (string, error) {
	r.t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(r.t.Context()), "unshare",
		append([]string{"--mount", "sh", "-c", `mount -t proc proc "$1/proc" && exec chroot "$@"`, "sh", r.dir}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (r *root) must(args ...string) string {
	r.t.Helper()
	out, err := r.in(args...)
	require.NoError(r.t, err, "%v: %s", args, out)
	return out
}

// install installs debs as an unattended upgrade does: files that the administrator changed are kept.
func (r *root) install(debs ...string) {
	r.t.Helper()
	args := []string{"dpkg", "--force-confdef", "--force-confold", "--install"}
	for _, deb := range debs {
		run(r.t, "cp", deb, r.dir+"/root/")
		args = append(args, "/root/"+filepath.Base(deb))
	}
	r.must(args...)
}

func (r *root) read(path string) string {
	r.t.Helper()
	text, err := os.ReadFile(r.dir + path)
	require.NoError(r.t, err)
	return string(text)
}

func (r *root) replace(path, old, with string) {
	r.t.Helper()
	text := r.read(path)
	require.Contains(r.t, text, old)
	require.NoError(r.t, os.WriteFile(r.dir+path, []byte(strings.Replace(text, old, with, 1)), 0o644))
}

func (r *root) exists(path string) bool {
	_, err := os.Lstat(r.dir + path)
	return err == nil
}

var systemUser = regexp.MustCompile(`^uid=\d{3}\(ironpost\) gid=\d{3}\(ironpost\) groups=\d{3}\(ironpost\)\n$`)

// requireUser requires the user and group of the services, which nobody can log in as.
func (r *root) requireUser() {
	r.t.Helper()
	require.Regexp(r.t, systemUser, r.must("id", "ironpost"))
	require.Regexp(r.t, `^ironpost:.*:/var/lib/ironpost:/usr/sbin/nologin\n$`, r.must("getent", "passwd", "ironpost"))
}
