package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// User and group ids that are not in use.
const (
	operatorsGroup = 54321
	memberID       = 54322
	outsiderID     = 54323
)

// role is a user who runs the command.
type role struct {
	name   string
	uid    uint32
	groups []uint32
}

func TestEveryCommandAsEveryRole(t *testing.T) {
	var notRoot error
	if os.Geteuid() != 0 {
		notRoot = errors.New("only root can run a command as another user")
	}
	testenv.Require(t, "root", notRoot)
	b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) {
		c.SocketGroup = "54321"
	}))
	require.NoError(t, os.Chmod(filepath.Dir(b.Socket()), 0o755))
	daemon(t, b, healthOf(event.ModuleHealth{Name: bus.LogPipeline, Host: "testhost", Enabled: true}))
	publish(t, b, bus.LogPipeline, bus.Alerts, alert("1", nil))
	_, trail := audited(t, 1)
	bin := openBinary(t)
	config := filepath.Join(t.TempDir(), "private.toml")
	require.NoError(t, os.WriteFile(config, nil, 0o600))

	policies := openFile(t, bin, "web.toml", "[[policy]]\nid = \"web\"\nactions = [\"isolate\"]\nmatch.severity = \"high\"\n")
	raw, err := event.Encode(alert("1", nil))
	require.NoError(t, err)
	alertFile, lines := openFile(t, bin, "alert.json", string(raw)), openFile(t, bin, "quiet.log", "nothing to see\n")

	lockFile := openFile(t, bin, "go.mod", "module m\n\ngo 1.25\n")
	data := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	ofRoot := " -c " + openFile(t, bin, "data.toml", "[general]\ndata_dir = \""+data+"\"\n")

	blind := openFile(t, bin, "blind.toml", "[log_pipeline]\nwatch_paths = [\"/nowhere/auth.log\"]\n")

	root := role{"root", 0, nil}
	member := role{"member", memberID, []uint32{operatorsGroup}}
	outsider := role{"outsider", outsiderID, nil}
	private := "-c " + config
	tests := []struct {
		args                   string
		root, member, outsider int
	}{
		{"status", exitOK, exitOK, exitUnreachable},
		{"alerts", exitOK, exitOK, exitUnreachable},
		{"alerts show 1", exitOK, exitOK, exitUnreachable},
		{"alerts --json", exitOK, exitOK, exitUnreachable},
		{"actions", exitOK, exitOK, exitUnreachable},
		{"audit verify --path " + trail, exitOK, exitError, exitError}, // only the daemon's user may read the trail
		{"config validate", exitOK, exitOK, exitOK},
		{"config show", exitOK, exitOK, exitOK},
		{"config validate " + private, exitOK, exitConfig, exitConfig},
		{"config show " + private, exitOK, exitConfig, exitConfig},
		{"version", exitOK, exitOK, exitOK},
		{"doctor -c " + blind, exitDegraded, exitDegraded, exitDegraded}, // nothing to read
		{"support --yes -o " + filepath.Dir(bin) + "/bundle-UID -c " + blind, exitOK, exitError, exitError},
		{"blocklist add 203.0.113.UID", exitOK, exitOK, exitUnreachable},
		{"blocklist list", exitOK, exitOK, exitUnreachable},
		{"blocklist check 203.0.113.UID", exitError, exitError, exitUnreachable}, // no engine runs
		{"blocklist accept /etc/feed", exitUnreachable, exitUnreachable, exitUnreachable},
		{"blocklist del 203.0.113.UID", exitOK, exitOK, exitUnreachable},
		// Root and member learn that the module does not run.
		{"audit accept --reason known", exitUnreachable, exitUnreachable, exitUnreachable},
		{"isolate web", exitUnreachable, exitUnreachable, exitUnreachable},
		{"release web", exitUnreachable, exitUnreachable, exitUnreachable},
		{"approve 3f9a1b2c4d5e", exitUnreachable, exitUnreachable, exitUnreachable},
		{"notify test", exitUnreachable, exitUnreachable, exitUnreachable},
		{"quarantine list", exitUnreachable, exitUnreachable, exitUnreachable},
		{"quarantine waiting", exitUnreachable, exitUnreachable, exitUnreachable},
		{"evidence show web", exitUnreachable, exitUnreachable, exitUnreachable},
		{"policies lint " + policies, exitOK, exitOK, exitOK},
		{"policies test " + alertFile + " --path " + policies, exitOK, exitOK, exitOK},
		{"policies simulate --path " + policies, exitOK, exitOK, exitUnreachable},
		{"logs tap --limit 1", exitUnreachable, exitUnreachable, exitUnreachable}, // root and member learn that the module does not run
		{"send quiet", exitUnreachable, exitUnreachable, exitUnreachable},         // likewise
		{"logs explain -- quiet", exitOK, exitOK, exitOK},
		{"replay " + lines, exitOK, exitOK, exitOK},
		{"bus init" + ofRoot, exitOK, exitError, exitError},
		{"bus add-host web-1" + ofRoot, exitOK, exitError, exitError},
		{"bus add-module door --publish alerts" + ofRoot, exitOK, exitError, exitError},
		{"bus account" + ofRoot, exitOK, exitError, exitError},
		{"bus proxy --listen 127.0.0.1:0 --dir " + data, exitError, exitError, exitError}, // root learns which files are missing
		{"bus list" + ofRoot, exitOK, exitError, exitError},
		{"bus renew" + ofRoot, exitOK, exitError, exitError},
		{"bus revoke web-1" + ofRoot, exitOK, exitError, exitError},
		{"scan --db " + data + " " + filepath.Dir(lockFile), exitOK, exitError, exitError},
		{"sbom list" + ofRoot, exitOK, exitError, exitError},
		{"sbom show web" + ofRoot, exitError, exitError, exitError},
		{"sbom diff web" + ofRoot, exitError, exitError, exitError},
		{"sbom findings" + ofRoot, exitOK, exitError, exitError},
		{"vulndb status" + ofRoot, exitError, exitError, exitError}, // root learns that there is no database
		{"vulndb import missing.zip" + ofRoot, exitError, exitError, exitError},
		{"vulndb update --url http://127.0.0.1:1 --ecosystem npm" + ofRoot, exitError, exitError, exitError},
		{"vulndb rollback" + ofRoot, exitError, exitError, exitError},
		// No PostgreSQL is configured.
		{"logs search error" + ofRoot, exitError, exitError, exitError},
		{"storage migrate" + ofRoot, exitUsage, exitUsage, exitUsage},
		{"completion bash", exitOK, exitOK, exitOK},
	}
	rows := make([]string, len(tests))
	for i, tt := range tests {
		rows[i] = tt.args
	}
	requireEveryCommand(t, rows)
	for _, tt := range tests {
		for user, want := range map[*role]int{&root: tt.root, &member: tt.member, &outsider: tt.outsider} {
			own := strings.NewReplacer("UID", strconv.Itoa(int(user.uid%256))) // each user blocks another address
			r := runAs(t, bin, *user, append([]string{"--socket", b.Socket()}, strings.Fields(own.Replace(tt.args))...)...)
			require.Equal(t, want, r.code, "%s as %s: %s%s", tt.args, user.name, r.out, r.err)
			switch {
			case want == exitUnreachable && user == &outsider:
				require.Contains(t, r.err, "group ironpost", tt.args)
				require.Empty(t, r.out)
			case want == exitUnreachable:
				require.NotContains(t, r.err, "group ironpost", tt.args)
			case want == exitError && tt.root == exitOK:
				require.Contains(t, r.err, "try sudo", tt.args)
			}
		}
	}
}

// requireEveryCommand requires a row for each command there is.
func requireEveryCommand(t *testing.T, rows []string) {
	t.Helper()
	var walk func(path string, c *cobra.Command)
	walk = func(path string, c *cobra.Command) {
		if !c.HasSubCommands() {
			require.True(t, slices.ContainsFunc(rows, func(row string) bool { return strings.HasPrefix(row+" ", path+" ") }), "%s is not in the table", path)
		}
		for _, sub := range c.Commands() {
			walk(strings.TrimSpace(path+" "+sub.Name()), sub)
		}
	}
	walk("", (&app{out: &output{w: io.Discard}, err: &output{w: io.Discard}}).rootCommand())
}

// openFile writes a file beside bin that every user may read.
func openFile(t *testing.T, bin, name, text string) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(bin), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// openBinary copies this binary as ironpost, so that every user may run it.
func openBinary(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ironpost-bin") //nolint:usetesting // that of the test is closed to others
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	self, err := os.Executable()
	require.NoError(t, err)
	from, err := os.Open(self)
	require.NoError(t, err)
	defer func() { _ = from.Close() }()
	path := filepath.Join(dir, "ironpost")
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(to, from)
	require.NoError(t, errors.Join(err, to.Close()))
	return path
}

func runAs(t *testing.T, bin string, user role, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Dir = filepath.Dir(bin)
	cmd.Env = []string{"PATH=/usr/bin:/bin", noRaceSleep}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user.uid, Gid: user.uid, Groups: user.groups}}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		require.NoError(t, err)
	}
	return result{code: cmd.ProcessState.ExitCode(), out: out.String(), err: errs.String()}
}
