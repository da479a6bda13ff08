//go:build accept && linux

package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// sshHost runs rsyslogd and sshd in a mount namespace of their own, with /dev/log between them: its arguments are a folder and the log file.
const sshHost = `set -e
dir=$1 log=$2
mkdir -p "$dir/dev"
for device in null zero random urandom tty; do cp -a /dev/$device "$dir/dev/"; done
mkdir "$dir/dev/pts" "$dir/dev/shm"
mount --bind "$dir/dev" /dev
mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts && ln -s pts/ptmx /dev/ptmx
mount -t tmpfs tmpfs /run
mkdir /run/sshd
cat > "$dir/rsyslog.conf" <<END
module(load="imuxsock")
auth,authpriv.* action(type="omfile" file="$log" template="RSYSLOG_TraditionalFileFormat")
END
ssh-keygen -q -t ed25519 -N '' -f "$dir/key"
cat > "$dir/sshd.conf" <<END
HostKey $dir/key
Port 22
UsePAM no
PasswordAuthentication yes
PermitRootLogin yes
PidFile none
END
rsyslogd -n -f "$dir/rsyslog.conf" -i "$dir/pid" &
until [ -S /dev/log ]; do sleep 0.05; done
exec "$(command -v sshd)" -D -f "$dir/sshd.conf"
`

// Somebody guesses passwords of a real sshd, whose lines a real rsyslog writes to the file that is watched: anybody could have written them, and the
// address is still blocked within a second.
func TestAcceptHostileBruteForce(t *testing.T) {
	for _, program := range []string{"sshd", "rsyslogd", "sshpass", "ssh"} {
		_, err := exec.LookPath(program)
		testenv.Require(t, "sshd", err)
	}
	g := newTarget(t)
	dir, err := os.MkdirTemp("", "iph")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	args := inNamespace(g.lab.victim, "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "bash", "-c", sshHost, "bash", dir, g.path("auth.log"))
	host := exec.Command(args[0], args[1:]...)
	var out bytes.Buffer
	host.Stdout, host.Stderr = &out, &out
	require.NoError(t, host.Start())
	t.Cleanup(func() {
		_ = host.Process.Signal(syscall.SIGKILL)
		_ = host.Wait()
	})
	guess := func(from string) error {
		args := inNamespace(g.lab.attacker, "sshpass", "-p", "wrong", "ssh", "-F", "none", "-b", from, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
			"-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1", "-o", "ConnectTimeout=5", "root@"+victim4, "true")
		return exec.Command(args[0], args[1:]...).Run()
	}
	failed := func(from string) int {
		text, err := os.ReadFile(g.path("auth.log"))
		require.NoError(t, err)
		return strings.Count(string(text), "Failed password for root from "+from)
	}
	require.Eventually(t, func() bool { _ = guess(attacker4); return failed(attacker4) > 0 }, waitLimit, 100*time.Millisecond, "%s", &out)

	const rounds, bar = 3, time.Second
	var all []time.Duration
	for n := range rounds {
		from := source4(n)
		go func() {
			for range 6 {
				_ = guess(from) // refused, and no longer answered once it is blocked
			}
		}()
		require.Eventually(t, func() bool { return failed(from) >= 5 }, waitLimit, time.Millisecond, "%s", &out)
		all = append(all, g.untilBlocked(from, time.Now()))
	}
	t.Logf("fifth line of sshd by rsyslog → address blocked: %s (bar max 1s); of a single mistake: blocked %v (bar false)", summary(all), g.blocked(attacker4))
	for _, took := range all {
		require.LessOrEqual(t, took, bar)
	}
	require.False(t, g.blocked(attacker4))
}
