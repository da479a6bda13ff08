//go:build accept && linux

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const nobody = 65534

// mend finds the command with which a message that begins with path ends.
var mend = regexp.MustCompile(`can change it: ((?:chown|chmod) .*)`)

// Fault 10: what steers the daemon and belongs to nobody, or may be written by nobody, is refused at the start, at a reload and by config
// validate, with the command that mends it.
func TestAcceptHostileHostOwners(t *testing.T) {
	s := newInstance(t)
	s.write("rules/own.yml", ownRule)
	s.write("policies/own.toml", "[[policy]]\nid = \"own\"\nactions = [\"notify\"]\n[policy.match]\nseverity = \"critical\"\n")
	s.replace("[log_pipeline]\n", fmt.Sprintf("[log_pipeline]\nrules_path = %q\n", s.path("rules")))
	s.replace("[log_pipeline]\n", fmt.Sprintf("[container]\nenabled = true\ndocker_socket = %q\npolicy_path = %q\n[log_pipeline]\n", s.path("no.sock"), s.path("policies")))
	s.start()
	require.Zero(t, s.stop(syscall.SIGTERM))
	ways := map[string]func(path string) error{
		"owned by nobody":    func(path string) error { return os.Lchown(path, nobody, nobody) },
		"writable by nobody": func(path string) error { return os.Chmod(path, 0o777) },
	}
	count := 0
	for _, name := range []string{".", "data", "ironpost.toml", "rules", "rules/own.yml", "policies", "policies/own.toml"} {
		for way, spoil := range ways {
			path := filepath.Clean(s.path(name))
			require.NoError(t, spoil(path))
			began := time.Now()
			out, err := exec.Command(filepath.Join(s.bin, "ironpost-daemon"), "-c", s.path("ironpost.toml")).CombinedOutput()
			took := time.Since(began)
			var ended *exec.ExitError
			require.ErrorAs(t, err, &ended, "%s %s: the daemon starts", name, way)
			require.Equal(t, 3, ended.ExitCode(), "%s", out)
			require.Contains(t, string(out), path+" ")
			validated, err := s.operatorCommand("config", "validate").CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(validated), path+" ")
			s.mendAsTold(string(out))
			require.Contains(t, s.ironpost("config", "validate"), "valid: ")
			require.NoError(t, os.Chmod(path, modeBefore(name)))
			count++
			t.Logf("%s %s: refused after %.1f s (bar 5), mended by the command that it names", name, way, took.Seconds())
			require.Less(t, took, refusedWithin)
		}
	}
	s.start()
	s.reloadWhatNobodyCanChange()
	t.Logf("%d of %d refused with exit code 3 and the command that mends it", count, 7*len(ways))
}

func modeBefore(name string) os.FileMode {
	if filepath.Ext(name) != "" && name != "." {
		return 0o600
	}
	return 0o755
}

const ownRule = `title: Own rule
id: 9b2cf9b1-6c3f-4f5c-9d0a-0a4b9d0c7f11
status: test
level: high
logsource: {product: linux}
detection:
  words: ["opensesame"]
  condition: words
`

// mendAsTold executes the commands that a message names.
func (s *instance) mendAsTold(message string) {
	s.t.Helper()
	found := mend.FindAllStringSubmatch(message, -1)
	require.NotEmpty(s.t, found, message)
	for _, m := range found {
		command, _, _ := strings.Cut(m[1], " (and ")
		out, err := exec.Command("sh", "-c", command).CombinedOutput()
		require.NoError(s.t, err, "%s: %s", command, out)
	}
}

// reloadWhatNobodyCanChange reloads while nobody may write a rule: the rules in force stay, and the status says why.
func (s *instance) reloadWhatNobodyCanChange() {
	s.t.Helper()
	s.openFolders()
	require.NoError(s.t, os.Chmod(s.path("rules/own.yml"), 0o666))
	require.NoError(s.t, asNobody(s.t, `sed s/opensesame/harmless/ <<<"$2" >"$1"`, s.path("rules/own.yml"), ownRule).Run(), "nobody changes the rule")
	began := time.Now()
	require.NoError(s.t, s.daemon.Process.Signal(syscall.SIGHUP))
	var told string
	s.eventually(func() bool {
		for _, m := range s.modules() {
			told += strings.Join(m.Reasons, "; ")
		}
		return strings.Contains(told, "reload refused at") && strings.Contains(told, "chmod go-w "+s.path("rules/own.yml"))
	})
	took := time.Since(began)
	require.Less(s.t, took, refusedWithin)
	s.append([]byte("opensesame\n"))
	s.eventually(func() bool { return len(s.alerts()) == 1 })
	s.t.Logf("a rule that nobody has changed is refused at a reload, told after %.1f s (bar 5); the rule before raises its alert", took.Seconds())
}
