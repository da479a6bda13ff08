package logpipeline_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// nobody is the uid of the user nobody.
const nobody = 65534

// sendAsNobody sends text to addr from a process of the user nobody.
func sendAsNobody(t *testing.T, network, addr, text string) {
	t.Helper()
	var root error
	if os.Getuid() != 0 {
		root = errors.New("not root")
	}
	testenv.Require(t, "another user", root)
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", `printf %s "$1" > "/dev/$2/$3/$4"`, "bash", text, network, host, port)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// Whatever a user writes in a message, its alert says that it came over syslog and is unproven.
func TestOriginOfASyslogMessageFromNobody(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.cfg.Sources = []string{logpipeline.SourceSyslog}
			r.cfg.SyslogBind, r.cfg.SyslogTCPBind = freeAddr(t), freeAddr(t)
			addr := map[string]string{"udp": r.cfg.SyslogBind, "tcp": r.cfg.SyslogTCPBind}[transport]
			s := r.start()
			require.NoError(t, dial(t, transport, addr).Close()) // it listens
			sendAsNobody(t, transport, addr, failed("root", "192.0.2.1"))
			a := r.wait(1)[0]
			require.Equal(t, "syslog_"+transport, a.Origin.Transport)
			require.Regexp(t, `^127\.0\.0\.1:\d+$`, a.Origin.Peer)
			require.Equal(t, event.TrustUnproven, a.Trust)
			require.Equal(t, "web1", a.LogHost)
			require.Equal(t, r.bus.Host(), a.Host)
			s.stop()
		})
	}
}

// claims are lines that claim a stronger origin than that of their source, in every form a field may have.
var claims = []string{
	`{"message":"canary","trust":"kernel","origin":{"transport":"packets","source":"eth0"},"log_host":"db1","host":"web1"}`,
	`{"message":"canary","origin.transport":"packets","origin.source":"eth0","trust":["kernel","host"],"origin":[{"transport":"packets"}]}`,
	`{"message":"canary","trust":"unproven","trust":"kernel","origin":"packets","log_host":"db1"}`,
	`<34>1 - web1 canary - - [origin transport="packets" source="eth0"][x trust="kernel"] canary trust=kernel log_host=db1`,
	`<34>Nov 20 10:00:00 web1 trust: canary origin.transport=packets`,
}

// Rules match the origin and the trust that the source of a line has, never those that the line claims.
func TestNoLineClaimsItsOrigin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := t.TempDir()
	rule := func(name, selection string) {
		text := "title: " + name + "\nid: 00000000-0000-4000-8000-00000000000" + name[:1] + "\nlogsource: {product: linux}\n" +
			"detection:\n  keywords: [canary]\n  selection:\n    " + selection + "\n  condition: keywords and selection\nlevel: low\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yml"), []byte(strings.ReplaceAll(text, "logsource: {product: linux}", "logsource: {category: application}")), 0o600))
	}
	rule("1-trust", "trust: [kernel, host, container, peer]")
	rule("2-transport", "origin.transport: packets")
	rule("3-source", "origin.source: eth0")
	rule("4-host", "log_host: db1")
	rule("5-true", "trust: unproven\n    origin.transport: file\n    origin.source: "+r.watched)
	r.cfg.RulesPath = dir
	s := r.start()
	r.write(strings.Join(claims, "\n") + "\n")
	s.waitLines(uint64(len(claims)))
	alerts := r.wait(1)
	for _, a := range alerts {
		require.Equal(t, "5-true", a.Title, "%v", a.Evidence)
		require.Equal(t, &event.Origin{Transport: event.TransportFile, Source: r.watched}, a.Origin)
		require.Equal(t, event.TrustUnproven, a.Trust)
	}
	require.Eventually(t, func() bool { return s.count("alerts")+s.count("suppressed") == uint64(len(claims)) }, patience, tick)
}

// A correlation is as proven as the weakest of its lines, and a packet detection by the kernel.
func TestTrustOfCorrelationsAndDetections(t *testing.T) {
	t.Parallel()
	r, engine := newPacketRig(t)
	r.start()
	scan := engine.detection("port_scan", "192.0.2.9", "198.51.100.4")
	engine.publish(scan)
	a := r.wait(1)[0]
	require.Equal(t, event.TrustKernel, a.Trust)
	require.Equal(t, &event.Origin{Transport: event.TransportPackets, Source: "eth0"}, a.Origin)
	r.write(stamp(-2*time.Second) + " web1 sshd[77]: Accepted password for bob from 192.0.2.9 port 4242 ssh2\n")
	for _, got := range r.wait(2) {
		if got.Title == "SSH Login After A Scan" {
			require.Equal(t, event.TrustUnproven, got.Trust)
			return
		}
	}
	require.Fail(t, "no alert of the correlation")
}

// The trust that an operator claims for an input is that of its lines, and their zone that of times without one.
func TestSettingsOfAnInputReachItsAlerts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := filepath.Join(filepath.Dir(r.watched), "other.log")
	r.cfg.WatchPaths = append(r.cfg.WatchPaths, other)
	r.cfg.Input = []logpipeline.Input{{Path: filepath.Dir(r.watched) + "/o*.log", Timezone: "Asia/Tokyo", Trust: "host"}}
	require.Empty(t, r.cfg.Validate())
	appendTo(t, other, "")
	r.start()
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	require.NoError(t, err)
	at := time.Now().Add(-10 * time.Minute).Truncate(time.Second)
	appendTo(t, other, at.In(tokyo).Format(time.Stamp)+" web1 sshd[77]: Failed password for root from 192.0.2.1 port 4242 ssh2\n")
	a := r.wait(1)[0]
	require.Equal(t, event.TrustHost, a.Trust)
	require.True(t, a.LastSeen.Equal(at), "%s, not %s", a.LastSeen, at)
}
