package parse_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

const (
	linearSize = 32 << 10
	// linearRatio is the most that a line of twice the size may cost, as a multiple.
	linearRatio = 2.3
	// cheap is a cost at which a ratio says nothing but how memory of this size is allocated. Looking at each byte of these lines for each of
	// their bytes, 32 at a time, costs some 5 ms.
	cheap = time.Millisecond
)

// A line of twice the size costs about twice as much: for lines that are expensive for each scanner, and for every sample of every
// format, repeated as a whole and in parts. What seems to cost more is measured again after the others: the machine may have other work.
func TestTimeIsLinear(t *testing.T) {
	var shapes []shape
	for name, of := range expensiveShapes() {
		shapes = append(shapes, shape{name, linearSize, of})
	}
	for _, sample := range sampleLines(t) {
		for part, of := range shapesOf(sample) {
			shapes = append(shapes, shape{part + " of " + sample, linearSize / 2, of})
		}
	}
	var problems []string
	for range 4 {
		var again []shape
		problems = nil
		for _, s := range shapes {
			if problem := s.measure(t); problem != "" {
				again, problems = append(again, s), append(problems, problem)
			}
		}
		shapes = again
	}
	require.Empty(t, problems)
}

// shape is a kind of lines: of returns one of about n bytes.
type shape struct {
	name string
	size int
	of   func(n int) string
}

// measure compares the least costs of several runs, more of them if the first ones do not satisfy, and returns what is wrong.
func (s shape) measure(t *testing.T) string {
	const enough, most = 2, 200
	smaller, larger := s.of(s.size), s.of(2*s.size)
	small, large := time.Hour, time.Hour
	for i := range most {
		small, large = min(small, cost(t, smaller)), min(large, cost(t, larger))
		if i+1 >= enough && (large <= cheap || large.Seconds() <= linearRatio*small.Seconds()) {
			return ""
		}
	}
	return fmt.Sprintf("%s: %d bytes cost %s, %d bytes %s", s.name, len(smaller), small, len(larger), large)
}

// shapesOf returns lines like sample in which all of it, or one of three of its words, is repeated up to a size.
func shapesOf(sample string) map[string]func(n int) string {
	shapes := map[string]func(n int) string{
		"all": func(n int) string { return strings.Repeat(sample+" ", n/(len(sample)+1)) },
	}
	words := strings.FieldsFunc(sample, func(r rune) bool { return strings.ContainsRune(" ,;|", r) })
	for _, i := range []int{len(words) / 3, len(words) * 2 / 3, len(words) - 1} {
		if i < 0 || words[i] == "" {
			continue
		}
		before, after, _ := strings.Cut(sample, words[i])
		separator := " "
		if after != "" {
			separator = after[:1]
		}
		word := words[i] + separator
		shapes[words[i]] = func(n int) string { return before + strings.Repeat(word, n/len(word)) + after }
	}
	return shapes
}

// expensiveShapes are lines of about n bytes.
func expensiveShapes() map[string]func(n int) string {
	const (
		head  = "Nov  3 01:02:03 h "
		audit = "type=SYSCALL msg=audit(1764500000.123:77): arch=c000003e syscall=59 success=yes "
	)
	return map[string]func(n int) string{
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
		"netfilter":    func(n int) string { return head + "kernel: IN= SRC=1 DST=2 " + strings.Repeat("SYN SRC=1 ", n/10) },
		"samba":        func(n int) string { return head + "smbd[1]: Auth: [" + strings.Repeat("] user [", n/8) },
		"dovecot":      func(n int) string { return head + "dovecot: imap-login: x: user=<" + strings.Repeat(">, rip=", n/7) },
		"tag":          func(n int) string { return head + strings.Repeat("[", n) },
		"audit":        func(n int) string { return audit + strings.Repeat("a0=2f62 ", n/8) },
		"audit quotes": func(n int) string { return audit + strings.Repeat(`a="b `, n/5) },
		"audit hex":    func(n int) string { return "type=PROCTITLE msg=audit(1.1:1): proctitle=" + strings.Repeat("2f00", n/4) },
		"audit arguments": func(n int) string {
			return "type=EXECVE msg=audit(1.1:1): argc=9 " + strings.Repeat("a1[1]=2f62 ", n/11)
		},
		"audit message": func(n int) string {
			return "type=USER_AUTH msg=audit(1.1:1): pid=1 msg='" + strings.Repeat("op=x acct='a ", n/13)
		},
		"audit nodes": func(n int) string { return strings.Repeat("node=a ", n/7) + audit },
		"audit names": func(n int) string { return audit + strings.Repeat("\x1dUID=\"a\" ", n/9) },
	}
}

// cost is the processor time of this thread for reading line: other load on the machine counts little.
func cost(t *testing.T, line string) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p := parse.New(parse.Options{Location: time.UTC})
	var ev parse.Event
	start := threadTime(t)
	p.ParseInto(&ev, line, now, shippedFormats())
	return threadTime(t) - start
}

func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now))
	return time.Duration(now.Nano())
}
