package parse_test

import (
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"Nov  3 01:02:03 web1 sshd[7]: Failed password for invalid user a from 192.0.2.1 port 2 ssh2",
		`<165>1 2026-10-11T22:14:15.003Z web1 foo 99 ID47 [a@1 x="1" y="q\"b\\c\]"][b z=""] hello`,
		`{"a":{"b":[1,2.5e3,"x",null,true]},"a":2,"time":"2026-01-02T03:04:05Z"}`,
		`192.0.2.7 - bob [10/Oct/2026:13:55:36 +0200] "GET /a%2e%2e/b?q=1%27+or HTTP/1.1" 404 12 "http://r/" "x\x22"`,
		"[Sun Dec 04 04:51:08.123456 2005] [core:error] [pid 12:tid 9] [client 192.0.2.9:81] AH1: x",
		"Nov  3 01:02:03 web1 sudo: a : TTY=p ; PWD=/ ; USER=root ; COMMAND=/bin/ls",
		"Nov  3 01:02:03 web1 CRON[1]: (root) CMD (x)",
		"Nov  3 01:02:03 web1 usermod[1]: add 'bob' to group 'sudo'",
		"Nov  3 01:02:03 web1 systemd[1]: Started x.service - y.",
		"Nov  3 01:02:03 web1 su[1]: FAILED SU (to root) alice on pts/0",
		"Nov  3 01:02:03 web1 kernel: [1.2] [UFW BLOCK] IN=eth0 OUT= SRC=192.0.2.7 DST=198.51.100.1 LEN=60 PROTO=TCP SPT=4444 DPT=22 SYN",
		"Nov  3 01:02:03 web1 dovecot: imap-login: Disconnected (auth failed, 3 attempts): user=<a>, method=PLAIN, rip=192.0.2.7, lip=198.51.100.1",
		"Nov  3 01:02:03 web1 smbd[1]: Auth: [SMB2,(null)] user [D]\\[b] at [x] with [N] status [S] workstation [P] remote host [ipv6:::1:2] mapped to [D]",
		"Nov  3 01:02:03 web1 named[1]: client @0x7 192.0.2.7#5 (a): query (cache) 'a/A/IN' denied",
		"Sun Nov 29 20:00:00 2026 [pid 2] [a] FAIL LOGIN: Client \"192.0.2.7\"",
		"2026-11-29 20:00:00 10 [Warning] Access denied for user 'a'@'192.0.2.7' (using password: YES)",
		"[Nov 29 20:00:00] NOTICE[8]: c.c:2 f: Registration from 'a' failed for '192.0.2.7:5060' - Wrong password",
	} {
		f.Add([]byte(line))
	}
	for _, line := range sampleLines(f) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		ev := read(string(line))
		budget := 64*len(line) + 4096
		requireClean(t, ev.Fields.Map(), &budget)
		for _, s := range []string{ev.Host, ev.Process, ev.Message, ev.User} {
			require.True(t, utf8.ValidString(s))
		}
		if ev.SourceIP.IsValid() {
			require.Empty(t, ev.SourceIP.Zone())
			require.False(t, ev.SourceIP.Is4In6())
		}
		require.Equal(t, ev, read(string(line)), "the same line must read the same")
	})
}

// requireClean checks that value has only types that rules can read, valid UTF-8
// and at most budget bytes.
func requireClean(t *testing.T, value any, budget *int) {
	t.Helper()
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			require.True(t, utf8.ValidString(name))
			*budget -= len(name)
			requireClean(t, inner, budget)
		}
	case []any:
		for _, inner := range v {
			requireClean(t, inner, budget)
		}
	case string:
		require.True(t, utf8.ValidString(v), "%q", v)
		*budget -= len(v)
	case nil, bool, int64, float64:
	default:
		t.Fatalf("%T in a field", v)
	}
	require.Positive(t, *budget)
}

func BenchmarkParse(b *testing.B) {
	for i, line := range []string{
		"Dec 10 06:55:46 LabSZ sshd[24200]: Failed password for invalid user webmaster from 173.234.31.186 port 38926 ssh2",
		`192.0.2.7 - - [10/Oct/2026:13:55:36 +0200] "GET /index.html?q=1 HTTP/1.1" 200 12 "http://r/" "Mozilla/5.0"`,
	} {
		b.Run(fmt.Sprint(i), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				read(line)
			}
		})
	}
}
