//go:build unix

package suite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/internal/ownership"
)

// writable makes a path that every user may write, a folder unless it has an extension.
func writable(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	if filepath.Ext(path) != "" {
		require.NoError(t, os.WriteFile(path, []byte("x\n"), 0o600))
	} else {
		require.NoError(t, os.MkdirAll(path, 0o700))
	}
	require.NoError(t, os.Chmod(path, 0o777))
}

// Everything that steers the daemon is checked at the start, and the message has the place of the key, the path and the command.
func TestWhatOthersCanChangeEndsTheStart(t *testing.T) {
	t.Parallel()
	const rules, policies, ebpf, sbom, collector = "[log_pipeline]\n", "[container]\nenabled = true\n", "[ebpf]\nenabled = true\n", "[sbom]\nenabled = true\n", "[collector]\n"
	const external = "mode = \"external\"\nurl = \"tls://hub:4222\"\n"
	for _, tt := range []struct{ section, key, path string }{
		{"[general]\n", "data_dir", "data"},
		{"[general]\n", "data_dir", "data/keys"},
		{"[general]\n", "pid_file", "run"},
		{"[bus]\n", "store_dir", "streams"},
		{"[bus]\n" + external, "credentials_file", "k.seed"},
		{"[bus]\n" + external, "tls_ca", "ca.pem"},
		{"[bus]\nhub = \"tls://hub:4222\"\n", "hub_bundle", "bundle"},
		{rules, "rules_path", "rules"},
		{rules, "rules_path", "rules/sub/a.yml"},
		{policies, "policy_path", "policies/p.toml"},
		{policies, "webhook_url_file", "webhook.url"},
		{ebpf, "blocklist_files", "feed.txt"},
		{sbom, "ignore_file", "ignore.toml"},
		{sbom, "vex_files", "a.vex"},
		{sbom, "vuln_db_path", "advisories"},
		{collector, "audit_path", "trail"},
		{"[log_pipeline.storage]\n", "postgres_url_file", "postgres.url"},
	} {
		t.Run(tt.key+" "+tt.path, func(t *testing.T) {
			t.Parallel()
			i := install(t, "")
			path := filepath.Join(i.dir, tt.path)
			writable(t, path)
			named := path
			for filepath.Dir(named) != i.dir {
				named = filepath.Dir(named)
			}
			switch tt.section {
			case "[general]\n":
			case "[bus]\n":
				i.replace(tt.section, fmt.Sprintf("[bus]\n%s = %q\n", tt.key, named))
			default:
				value := fmt.Sprintf("%q", named)
				if tt.key == "blocklist_files" || tt.key == "vex_files" {
					value = "[" + value + "]"
				}
				add := fmt.Sprintf("%s%s = %s\n", tt.section, tt.key, value)
				if rest, ok := strings.CutPrefix(tt.section, "[bus]\n"); ok {
					i.replace("[bus]\n", fmt.Sprintf("[bus]\n%s%s = %q\n", rest, tt.key, named))
				} else {
					i.write(i.read() + add)
				}
			}
			require.Equal(t, 3, i.process("--validate").Run(t.Context()))
			require.Regexp(t, fmt.Sprintf(`ironpost\.toml:\d+:\d+: [a-z_.]*: .*%s of user \S+ \(\d+\) may be written by everyone \(mode 0777\), .*: chmod go-w %[1]s`, path), i.stderr.String())
			before := i.stderr.Len()
			i.replace("[general]\n", "[general]\nstrict_modes = false\n")
			_ = i.process("--validate").Run(t.Context())
			require.NotContains(t, i.stderr.From(before), "so others than root")
		})
	}
}

func TestConfigurationThatOthersCanChangeEndsTheStart(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	require.NoError(t, os.Chmod(i.file, 0o666))
	require.Equal(t, 3, i.process().Run(t.Context()))
	require.Contains(t, i.stderr.String(), i.file+":")
	require.Contains(t, i.stderr.String(), "chmod go-w "+i.file)
	require.NoDirExists(t, i.dir+"/data")
}

// A reload of what others can change by now is refused, and told.
func TestReloadOfWhatOthersCanChangeIsRefused(t *testing.T) {
	t.Parallel()
	i := install(t, "")
	rules := i.dir + "/rules"
	require.NoError(t, os.Mkdir(rules, 0o700))
	i.configure(i.logsOn() + fmt.Sprintf("rules_path = %q\n", rules))
	i.start()
	writable(t, rules+"/a.yml")
	i.signals <- syscall.SIGHUP
	i.await("configuration not reloaded, the last good one stays in force")
	require.Contains(t, i.stderr.String(), "chmod go-w "+rules+"/a.yml")
	require.Zero(t, i.stop())
}

// The command line reads a configuration whose owner it does not know; "config validate" says whom it trusts.
func TestLoadChecksOwnersOnlyIfAsked(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	require.NoError(t, os.Chmod(i.file, 0o666))
	_, _, err := suite.Load(suite.Source{Path: i.file, Named: true})
	require.NoError(t, err)
	_, _, err = suite.Load(suite.Source{Path: i.file, Named: true, Trusted: ownership.Self()})
	require.ErrorContains(t, err, "chmod go-w "+i.file)
}
