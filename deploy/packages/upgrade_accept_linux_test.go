//go:build accept

package packages_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// previous returns the debs of the commit before this one: from the folder in IRONPOST_TEST_PREVIOUS_PACKAGES, or built now.
func previous(t *testing.T) (ironpost, modules string) {
	t.Helper()
	dir := os.Getenv("IRONPOST_TEST_PREVIOUS_PACKAGES")
	if dir == "" {
		tree := filepath.Join(t.TempDir(), "previous")
		run(t, "git", "worktree", "add", "--detach", tree, "HEAD~1")
		t.Cleanup(func() { _ = exec.Command("git", "worktree", "remove", "--force", tree).Run() })
		run(t, filepath.Join(tree, "deploy/packages/build.sh"), oldName)
		dir = filepath.Join(tree, "bin/packages")
	}
	for name, deb := range map[string]*string{"ironpost_*.deb": &ironpost, "ironpost-modules_*.deb": &modules} {
		found, err := filepath.Glob(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Len(t, found, 1, "%s in %s", name, dir)
		*deb = found[0]
	}
	return ironpost, modules
}

// sudo appends lines to the watched file, each of which is one alert, and waits until so many alerts are stored in all.
func (m *machine) sudo(from, to int) {
	m.t.Helper()
	f, err := os.OpenFile(m.dir+"/var/log/auth.log", os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(m.t, err)
	for i := from; i < to; i++ {
		_, err = fmt.Fprintf(f, "%s stage sudo: user%d : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/bin/bash\n", time.Now().UTC().Format(time.Stamp), i)
		require.NoError(m.t, err)
	}
	require.NoError(m.t, f.Close())
	m.eventually(fmt.Sprintf("%d alerts", to), func() bool { return len(m.alerts()) >= to })
	require.Len(m.t, m.alerts(), to, "each once")
}

// A hub and a module in a service of its own, of this commit and the one before, in every order: no alert is lost or doubled.
func TestAcceptUpgradeOrder(t *testing.T) {
	r := newRoot(t)
	oldHub, oldModules := previous(t)
	newHub, newModules := newest(t, "ironpost", "deb"), newest(t, "ironpost-modules", "deb")
	r.install(oldHub, oldModules)
	r.replace("/etc/ironpost/ironpost.toml", "[log_pipeline]\nenabled = true", "[log_pipeline]\nenabled = true\nsources = [\"syslog\", \"file\"]") // the tests write auth.log
	r.must("useradd", "--create-home", "--groups", "ironpost", "alice")
	require.NoError(t, os.WriteFile(r.dir+"/var/log/auth.log", nil, 0o640))
	r.must("chgrp", "adm", "/var/log/auth.log")
	run(t, "dpkg-deb", "--extract", oldHub, r.dir+"/opt/old")
	run(t, "dpkg-deb", "--extract", newHub, r.dir+"/opt/new")
	m := r.boot()
	active := func(unit string) {
		m.eventually(unit+" is active", func() bool {
			out, _ := m.run("systemctl", "is-active", unit)
			return strings.TrimSpace(out) == "active"
		})
	}
	active("ironpost")
	m.do("ironpost", "bus", "init")
	r.replace("/etc/ironpost/ironpost.toml", "[bus]\n", `[bus]
listen = "127.0.0.1:4443"
tls_ca = "/var/lib/ironpost/pki/ca.pem"
tls_cert = "/var/lib/ironpost/pki/server.pem"
tls_key = "/var/lib/ironpost/pki/server.key"
url = "tls://127.0.0.1:4443"
credentials_file = "/etc/ironpost/bus"
`)
	r.replace("/etc/ironpost/ironpost.toml", "[log_pipeline]\nenabled = true", "[log_pipeline]\nenabled = false")
	m.do("ironpost", "bus", "add-host", "stage", "--module", "log-pipeline", "--out", "/etc/ironpost/bus")
	m.do("chown", "-R", "ironpost:", "/etc/ironpost/bus")
	m.do("systemctl", "restart", "ironpost")
	m.do("systemctl", "enable", "--now", "ironpost-log-pipeline")
	active("ironpost-log-pipeline")

	hub := func(version string) {
		m.do("systemctl", "stop", "ironpost")
		m.do("cp", "/opt/"+version+"/usr/bin/ironpost-daemon", "/usr/bin/ironpost-daemon")
		m.do("systemctl", "start", "ironpost")
	}
	m.sudo(0, 10)
	hub("new")
	m.sudo(10, 20)
	t.Logf("hub of this commit, module of the one before: 20 of 20 alerts")
	r.install(newHub, newModules) // the files; without systemd in this call nothing restarts
	m.do("systemctl", "daemon-reload")
	m.do("systemctl", "restart", "ironpost", "ironpost-log-pipeline")
	m.sudo(20, 30)
	t.Logf("both of this commit: 30 of 30 alerts")
	hub("old")
	m.sudo(30, 40)
	t.Logf("hub of the commit before, module of this one: 40 of 40 alerts")
}
