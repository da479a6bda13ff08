//go:build accept && linux

package e2e_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file that lost what nobody had read while the daemon did not run is named, with the amount or that it is unknown.
func TestAcceptHostileHostTruthWhileDown(t *testing.T) {
	for name, tc := range map[string]struct {
		read string // before the stop
		lose func(path string) error
	}{
		"truncated":               {rootShell("before"), func(path string) error { return os.Truncate(path, 0) }},
		"removed":                 {rootShell("before"), os.Remove},
		"written anew":            {rootShell("before"), func(path string) error { return os.WriteFile(path, []byte("a new file\n"), 0o600) }},
		"truncated, never read":   {"", func(path string) error { return os.Truncate(path, 0) }},
		"removed, never read":     {"", os.Remove},
		"truncated while stopped": {strings.Repeat(rootShell("before"), 3000), func(path string) error { return os.Truncate(path, 0) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newInstance(t)
			s.start()
			if tc.read != "" {
				s.append([]byte(tc.read))
				s.eventually(func() bool { return len(s.alerts()) > 0 })
			}
			require.Zero(t, s.stop(syscall.SIGTERM))
			s.append([]byte(strings.Repeat(rootShell("unread"), 100)))
			require.NoError(t, tc.lose(s.path("auth.log")))
			s.start()
			s.requireTold("a file lost lines while the daemon did not run: "+name, "log-pipeline", "auth.log was removed or written anew", true)
		})
	}
}
