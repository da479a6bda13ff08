//go:build accept && linux

package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// rateLines is how many lines of each kind are read.
const rateLines = 1_000_000

// The bars, in MB per CPU-second and as a ratio.
const (
	rateBar = 50
	tcpBar  = 1.5
)

// What a line costs from a file to its decoded fields, in one run beside rsyslog (tail to a file of JSON), and by TCP. No rule matches.
func TestAcceptLineRate(t *testing.T) {
	lines := syslogLines(t)
	perLine := float64(len(lines)) / rateLines
	peer := cpuOfRsyslog(t, lines)
	file := cpuOfFile(t, lines)
	tcp := cpuOfTCP(t, lines)
	rate := func(cpu time.Duration) float64 { return float64(len(lines)) / 1e6 / cpu.Seconds() }
	each := func(cpu time.Duration) float64 { return float64(cpu.Nanoseconds()) / rateLines / 1000 }
	t.Logf("%d syslog lines of %.0f bytes, file to decoded fields: %.1f MB per CPU-second, %.2f µs a line (bar %d MB); rsyslog, file to JSON: %.1f MB, %.2f µs",
		rateLines, perLine, rate(file), each(file), rateBar, rate(peer), each(peer))
	t.Logf("by TCP: %.2f µs a line, %.2f times that of a file (bar %.1f)", each(tcp), tcp.Seconds()/file.Seconds(), tcpBar)
	require.GreaterOrEqual(t, rate(file), float64(rateBar))
	require.LessOrEqual(t, tcp.Seconds()/file.Seconds(), tcpBar)
}

// syslogLines returns rateLines lines of real hosts.
func syslogLines(t *testing.T) []byte {
	t.Helper()
	var real []string
	for _, set := range []string{"Linux", "OpenSSH"} {
		data, err := os.ReadFile(testenv.Data(t, "loghub/"+set+"/"+set+"_2k.log"))
		require.NoError(t, err)
		for line := range strings.Lines(string(data)) {
			real = append(real, strings.TrimRight(line, "\r\n")+"\n")
		}
	}
	var out bytes.Buffer
	for i := range rateLines {
		out.WriteString(real[i%len(real)])
	}
	return out.Bytes()
}

func decodingInstance(t *testing.T) *instance {
	t.Helper()
	s := newInstance(t)
	s.write("rules/none.yml", "title: Matches nothing here\nlogsource:\n  product: windows\ndetection:\n  sel:\n    EventID: 1\n  condition: sel\nlevel: low\n")
	s.set(fmt.Sprintf("shipped_rules = false\nrules_path = %q\n", s.path("rules")))
	s.start()
	return s
}

// cpuOfFile returns the CPU time of the daemon from the first byte in a file to the last line decoded.
func cpuOfFile(t *testing.T, lines []byte) time.Duration {
	s := decodingInstance(t)
	before := s.cpu()
	s.append(lines)
	s.waitForLines(rateLines)
	return s.cpu() - before
}

func (s *instance) waitForLines(n uint64) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.counter("log-pipeline", "lines") >= n }, 10*time.Minute, 100*time.Millisecond, "%s", s.log)
}

func cpuOfTCP(t *testing.T, lines []byte) time.Duration {
	s := decodingInstance(t)
	before := s.cpu()
	conn, err := net.Dial("tcp", s.syslog)
	require.NoError(t, err)
	_, err = conn.Write(lines)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	s.waitForLines(rateLines)
	return s.cpu() - before
}

// cpuOfRsyslog returns the CPU time of rsyslog for reading a file into JSON with the parsed fields.
func cpuOfRsyslog(t *testing.T, lines []byte) time.Duration {
	program, err := exec.LookPath("rsyslogd")
	testenv.Require(t, "rsyslog", err)
	dir := t.TempDir()
	in, out, conf := dir+"/in.log", dir+"/out.json", dir+"/rsyslog.conf"
	require.NoError(t, os.WriteFile(in, lines, 0o600))
	require.NoError(t, os.WriteFile(conf, []byte(fmt.Sprintf(`
global(workDirectory=%[1]q)
module(load="imfile" mode="inotify")
template(name="fields" type="list" option.jsonf="on") {
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="program" name="programname" format="jsonf")
  property(outname="pid" name="procid" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}
ruleset(name="parse" parser=["rsyslog.rfc3164"]) { action(type="omfile" file=%[2]q template="fields" asyncWriting="on" ioBufferSize="64k" flushOnTXEnd="off") }
input(type="imfile" file=%[3]q tag="file:" ruleset="parse" needParse="on")
`, dir, out, in)), 0o600))
	cmd := exec.Command(program, "-n", "-f", conf, "-i", dir+"/pid")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	size := int64(-1)
	require.Eventually(t, func() bool { // it has read all when the output grows no more
		before := size
		if info, err := os.Stat(out); err == nil {
			size = info.Size()
		}
		return size > int64(len(lines))/2 && size == before
	}, 10*time.Minute, 3*time.Second)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	_ = cmd.Wait()
	written, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, rateLines, bytes.Count(written, []byte("\n")))
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}
