//go:build accept

package packages_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const enabledLink = "/etc/systemd/system/multi-user.target.wants/ironpost.service"

// Installed, upgraded, removed and purged: what the administrator changed and what the daemon stored stays until purge.
func TestAcceptInstallUpgradeRemovePurge(t *testing.T) {
	r, deb := newRoot(t), newest(t, "ironpost", "deb")
	r.install(older(t))
	r.requireUser()
	require.Equal(t, "755 ironpost ironpost\n700 ironpost ironpost\n", r.must("stat", "-c", "%a %U %G", "/run/ironpost", "/var/lib/ironpost"), "of tmpfiles")
	require.NoError(t, os.Remove(r.dir+"/run/ironpost"))
	r.must("systemd-tmpfiles", "--create")
	require.True(t, r.exists("/run/ironpost"), "made at the start of the machine, without a service")
	require.True(t, r.exists(enabledLink), "enabled")
	require.Empty(t, r.must("dpkg", "--verify", "ironpost"))
	require.Contains(t, r.must("ironpost", "config", "validate"), "valid")

	r.replace("/etc/ironpost/ironpost.toml", `log_format = "pretty"`, `log_format = "json"`)
	changed := r.read("/etc/ironpost/ironpost.toml")
	require.NoError(t, os.MkdirAll(r.dir+"/var/lib/ironpost/audit", 0o700))
	r.install(deb)
	require.Equal(t, changed, r.read("/etc/ironpost/ironpost.toml"), "changed by the administrator: kept")
	require.NotContains(t, r.read("/etc/ironpost/policies/notify.toml"), "an earlier text", "unchanged: replaced by the new one")
	require.True(t, r.exists("/etc/ironpost/policies/web-attack.toml"))
	require.Contains(t, r.must("ironpost-daemon", "--validate"), "valid: /etc/ironpost/ironpost.toml")
	require.Contains(t, r.must("dpkg", "--verify", "ironpost"), "/etc/ironpost/ironpost.toml")
	r.must("bash", "-n", "/usr/share/bash-completion/completions/ironpost")

	r.must("systemctl", "disable", "ironpost.service")
	r.install(deb)
	require.False(t, r.exists(enabledLink), "disabled by the administrator: stays so over an upgrade")

	r.must("dpkg", "--remove", "ironpost")
	require.False(t, r.exists("/usr/bin/ironpost-daemon"))
	require.False(t, r.exists("/usr/share/man/man1/ironpost.1.gz"))
	require.Equal(t, changed, r.read("/etc/ironpost/ironpost.toml"))
	require.True(t, r.exists("/var/lib/ironpost/audit"))

	r.must("dpkg", "--purge", "ironpost")
	require.False(t, r.exists("/etc/ironpost"))
	require.False(t, r.exists("/var/lib/ironpost"))
	require.False(t, r.exists("/run/ironpost"))
	require.False(t, r.exists("/usr/lib/tmpfiles.d/ironpost.conf"))
	require.NotContains(t, r.must("sh", "-c", "find / -xdev -name '*ironpost*' -not -path '/root/*'"), "ironpost", "nothing is left but the user")
	r.requireUser()
}

// Without systemd-sysusers the user is made by useradd.
func TestAcceptInstallWithoutSystemd(t *testing.T) {
	r := newRoot(t)
	require.NoError(t, os.Rename(r.dir+"/bin/systemd-sysusers", r.dir+"/bin/away"))
	r.install(newest(t, "ironpost", "deb"))
	r.requireUser()
}

// The package of the modules starts none, and takes them along when it is removed.
func TestAcceptInstallModules(t *testing.T) {
	r := newRoot(t)
	r.install(newest(t, "ironpost", "deb"), newest(t, "ironpost-modules", "deb"))
	modules := []string{"ebpf-engine", "log-pipeline", "sbom-scanner", "container-guard", "action-collector"}
	for _, m := range modules {
		require.False(t, r.exists(strings.Replace(enabledLink, "ironpost", "ironpost-"+m, 1)), m)
		require.Contains(t, r.must("ironpost-"+m, "--help"), "one module of Ironpost, "+m)
	}
	r.must("systemctl", "enable", "ironpost-log-pipeline")
	r.must("dpkg", "--remove", "ironpost-modules")
	require.False(t, r.exists("/etc/systemd/system/multi-user.target.wants/ironpost-log-pipeline.service"))
	require.False(t, r.exists("/usr/bin/ironpost-log-pipeline"))
	require.True(t, r.exists("/usr/bin/ironpost-daemon"))
}

// Rpm lists the same files as the deb has, and knows which are configuration. There is no system here to install it on.
func TestAcceptRPMIsListed(t *testing.T) {
	for _, name := range []string{"ironpost", "ironpost-modules"} {
		rpm := newest(t, name, "rpm")
		files := strings.Fields(run(t, "rpm", "-qp", "--list", rpm))
		inDeb := 0
		for line := range strings.Lines(run(t, "dpkg-deb", "--contents", newest(t, name, "deb"))) {
			path := strings.TrimPrefix(strings.Fields(line)[5], ".")
			if !strings.HasSuffix(path, "/") {
				inDeb++
				require.Contains(t, files, strings.Replace(path, "vendor-completions", "site-functions", 1))
			}
		}
		require.Len(t, files, inDeb)
		t.Logf("%s: %d files in deb and rpm", name, inDeb)
	}
	require.Len(t, strings.Fields(run(t, "rpm", "-qp", "--configfiles", newest(t, "ironpost", "rpm"))), 5)
}

// The sizes of programs in docs/topologies.md, and of images in docs/compose.md, are those of this build, to 5 % or half a MB.
// An image holds programs, and what deploy/compose/image-files.sh copies.
func TestAcceptInstallSizesAreDocumented(t *testing.T) {
	size := func(path string) float64 {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return float64(info.Size()) / 1e6
	}
	table := func(page, row string) [][]string {
		text, err := os.ReadFile("../../docs/" + page)
		require.NoError(t, err)
		return regexp.MustCompile(row).FindAllStringSubmatch(string(text), -1)
	}
	programs := table("topologies.md", "(?m)^\\| `(ironpost[a-z-]*)` \\|.*\\| (\\d+) MB \\|")
	require.Len(t, programs, 8)
	for _, p := range programs {
		requireSize(t, p[1], p[2], size("../../bin/package/"+p[1]))
	}
	images := table("compose.md", "(?m)^\\| `(ironpost/[a-z-]*)` \\| (.*) \\| (\\d+) MB \\|")
	require.Len(t, images, 7)
	for _, i := range images {
		sum := size(strings.TrimSpace(run(t, "go", "env", "GOROOT"))+"/lib/time/zoneinfo.zip") + size("/etc/ssl/certs/ca-certificates.crt")
		for program := range strings.SplitSeq(i[2], ", ") {
			sum += size("../../bin/package/" + strings.Trim(program, "`"))
		}
		requireSize(t, i[1], i[3], sum)
	}
}

func requireSize(t *testing.T, name, documented string, size float64) {
	t.Helper()
	want, err := strconv.ParseFloat(documented, 64)
	require.NoError(t, err)
	t.Logf("%s: %.1f MB, documented %s (bar: 5 %% or 0.5 MB)", name, size, documented)
	require.InDelta(t, want, size, max(0.5, 0.05*size), name)
}
