package parse_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Eight times the line may take at most 32 times as long, for lines that are
// expensive for each parser: the bound is loose, but excludes quadratic growth.
func TestTimeIsLinear(t *testing.T) {
	const head = "Nov  3 01:02:03 h "
	shapes := map[string]func(n int) string{
		"from": func(n int) string {
			return head + "sshd[1]: Failed password for " + strings.Repeat(" from 1.1.1.1 port 1", n/20)
		},
		"from blank":   func(n int) string { return head + "sshd[1]: Failed password for " + strings.Repeat(" from ", n/6) },
		"sd":           func(n int) string { return "<1>1 - - - - - [a" + strings.Repeat(` b="c"`, n/6) },
		"sd open":      func(n int) string { return "<1>1 - - - - - " + strings.Repeat(`[a b="c\"`, n/9) },
		"json deep":    func(n int) string { return strings.Repeat(`{"a":`, n/5) },
		"json same":    func(n int) string { return "{" + strings.Repeat(`"a":1,`, n/6) + `"a":1}` },
		"json array":   func(n int) string { return strings.Repeat(`[`, n) },
		"json objects": func(n int) string { return strings.Repeat(`{"a":1}`, n/7) },
		"json behind":  func(n int) string { return strings.Repeat(`x {"a" `, n/7) },
		"json escapes": func(n int) string { return `{"a":"` + strings.Repeat(`\ud800`, n/6) },
		"json bytes":   func(n int) string { return `{"_PID":"1","MESSAGE":[` + strings.Repeat(`27,`, n/3) + `27]}` },
		"json log":     func(n int) string { return strings.Repeat(`{"stream":"stdout","log":"`, n/26) },
		"octal":        func(n int) string { return head + "a: " + strings.Repeat("#011#033[1m", n/11) },
		"terminal":     func(n int) string { return strings.Repeat("\x1b[", n/2) },
		"latin-1":      func(n int) string { return strings.Repeat("\xe9\x00", n/2) },
		"relays":       func(n int) string { return strings.Repeat("Nov  3 01:02:03 h ", n/18) },
		"priorities":   func(n int) string { return strings.Repeat("<1>", n/3) },
		"counts":       func(n int) string { return strings.Repeat("1 <1>", n/5) },
		"cri":          func(n int) string { return strings.Repeat("2026-11-03T01:02:03Z stdout F ", n/30) },
		"repeated":     func(n int) string { return head + "sshd[1]: " + strings.Repeat("message repeated 2 times: [ ", n/28) },
		"sequence":     func(n int) string { return "<1>" + strings.Repeat("1: ", n/3) },
		"label":        func(n int) string { return head + "a[1]" + strings.Repeat(" (", n/2) },
		"sd unquoted":  func(n int) string { return "<1>1 - - - - - [a" + strings.Repeat(` b=c`, n/4) },
		"blanks":       func(n int) string { return "<1>" + strings.Repeat(` `, n) + "1" },
		"access":       func(n int) string { return `1.1.1.1 - ` + strings.Repeat(` [x] "`, n/6) },
		"escapes": func(n int) string {
			return `1.1.1.1 - - [10/Oct/2026:13:55:36 +0200] "` + strings.Repeat(`\x41%41`, n/7)
		},
		"hops": func(n int) string {
			return strings.Repeat("1.1.1.1, ", n/9) + `- - [10/Oct/2026:13:55:36 +0200] "GET / HTTP/1.1" 200 1`
		},
		"more behind": func(n int) string {
			return `1.1.1.1 - - [10/Oct/2026:13:55:36 +0200] "GET / HTTP/1.1" 200 1 "" ""` + strings.Repeat(` a="\"`, n/7)
		},
		"nginx error": func(n int) string {
			return "2026/11/29 20:00:00 [error] 7#7: *1 x" + strings.Repeat(`, client: 1.1.1.1, request: "`, n/29)
		},
		"modsecurity": func(n int) string {
			return "[Sun Dec 04 04:51:08 2005] [error] ModSecurity: " + strings.Repeat(` [a "\"`, n/8)
		},
		"pairs":      func(n int) string { return `level=info ` + strings.Repeat(`a="b\" `, n/8) },
		"pairs open": func(n int) string { return `level=info ` + strings.Repeat(`a="b `, n/5) },
		"cef":        func(n int) string { return "CEF:0|a|b|1|2|3|4|" + strings.Repeat(`a=b= `, n/5) },
		"cef open":   func(n int) string { return "CEF:0|" + strings.Repeat(`\|=`, n/3) },
		"csv":        func(n int) string { return `1,2026/11/29 20:00:00,7,TRAFFIC,` + strings.Repeat(`"a""",`, n/6) },
		"envoy":      func(n int) string { return `[2016-04-15T20:17:00.310Z] "` + strings.Repeat(`GET / HTTP/1.1" `, n/16) },
		"haproxy": func(n int) string {
			return "1.1.1.1:1 [29/Nov/2026:20:00:00.123] f b/s 0 200 1 {" + strings.Repeat("1.1.1.1,|", n/9) + `"GET #22"`
		},
		"sudo":     func(n int) string { return head + "sudo: a : " + strings.Repeat(" ; TTY=x", n/8) },
		"brackets": func(n int) string { return "[Sun Dec 04 04:51:08 2005] [error] " + strings.Repeat("[pid 1] ", n/8) },
		"phrase": func(n int) string {
			return head + "sshd[1]: Disconnecting " + strings.Repeat(" 1.1.1.1 port 1: Too many ", n/26)
		},
		"netfilter": func(n int) string { return head + "kernel: IN= SRC=1 DST=2 " + strings.Repeat("SYN SRC=1 ", n/10) },
		"samba":     func(n int) string { return head + "smbd[1]: Auth: [" + strings.Repeat("] user [", n/8) },
		"dovecot":   func(n int) string { return head + "dovecot: imap-login: x: user=<" + strings.Repeat(">, rip=", n/7) },
		"tag":       func(n int) string { return head + strings.Repeat("[", n) },
	}
	for name, shape := range shapes {
		small, large := cost(t, shape(32<<10)), cost(t, shape(256<<10))
		require.Less(t, large, 8*4*small+20*time.Millisecond, "%s: %s then %s", name, small, large)
	}
}

// cost is the processor time of the best of five runs: other load on the machine does not count.
func cost(t *testing.T, line string) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := time.Hour
	for range 5 {
		start := threadTime(t)
		read(line)
		best = min(best, threadTime(t)-start)
	}
	return best
}

func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now))
	return time.Duration(now.Nano())
}
