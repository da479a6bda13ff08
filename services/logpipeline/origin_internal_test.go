package logpipeline

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/audit"
	"github.com/ironpost/ironpost/services/logpipeline/journal"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

// Only a default path that a service writes by itself, and into which nobody else can have it write a line, proves a line, and only if no user can write the file.
func TestTrustOfFiles(t *testing.T) {
	t.Parallel()
	for _, path := range DefaultConfig().WatchPaths {
		want := event.TrustUnproven
		if strings.Contains(path, "access") || path == "/var/log/audit/audit.log" {
			want = event.TrustHost
		}
		_, trust := fileOrigin(tail.Line{Path: path, SystemOwned: true})
		require.Equal(t, want, trust, path)
		_, trust = fileOrigin(tail.Line{Path: path})
		require.Equal(t, event.TrustUnproven, trust, path)
	}
	_, trust := fileOrigin(tail.Line{Path: "/srv/app/access.log", SystemOwned: true})
	require.Equal(t, event.TrustUnproven, trust)
}

// The kernel passes on what programs with CAP_AUDIT_WRITE send, of containers too: only its own records and those of process 1 are proven.
func TestTrustOfAuditRecords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]event.Trust{
		`type=SYSCALL msg=audit(1764446400.123:1): arch=c000003e pid=7 uid=0`:                                      event.TrustHost,
		`type=USER_LOGIN msg=audit(1764446400.123:1): pid=7 uid=0 msg='op=login acct="root" addr=192.0.2.9 pid=1'`: event.TrustUnproven,
		`type=SERVICE_STOP msg=audit(1764446400.123:1): pid=1 uid=0 msg='unit=auditd'`:                             event.TrustHost,
		`type=1112 audit(1764446400.123:1): pid=7 uid=0 msg='op=login acct="root" addr=192.0.2.9'`:                 event.TrustUnproven,
		`type=UNKNOWN[2999] msg=audit(1764446400.123:1): pid=7`:                                                    event.TrustUnproven,
		`type=UNKNOWN[1399] msg=audit(1764446400.123:1): pid=7`:                                                    event.TrustHost,
	} {
		r, ok := audit.Parse(text)
		require.True(t, ok, text)
		require.Equal(t, want, auditTrust(&r, event.TrustHost), text)
	}
	require.Equal(t, event.TrustHost, auditTrust(nil, event.TrustHost))
}

// Who opens a stream to journald names its program, and may start a program of root on it: what that prints is no record of it.
func TestTrustOfWhatSetuidProgramsPrint(t *testing.T) {
	t.Parallel()
	of := func(program, transport string) event.Trust {
		e := journal.Entry{Local: true}
		for name, value := range map[string]string{"_TRANSPORT": transport, "_UID": "0", "_EXE": "/usr/bin/" + program} {
			e.Fields = append(e.Fields, journal.Field{Name: name, Value: value})
		}
		_, trust := journalOrigin(e, program)
		return trust
	}
	for _, program := range setuidPrograms {
		require.Equal(t, event.TrustHost, of(program, "syslog"), program)
		require.Equal(t, event.TrustUnproven, of(program, "stdout"), program)
	}
	require.Equal(t, event.TrustHost, of("nginx", "stdout"))
}
