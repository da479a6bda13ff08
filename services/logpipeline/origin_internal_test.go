package logpipeline

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

// Only a default path that a service writes by itself proves a line, and only if no user can write the file.
func TestTrustOfFiles(t *testing.T) {
	t.Parallel()
	for _, path := range DefaultConfig().WatchPaths {
		want := event.TrustUnproven
		if !slices.Contains([]string{"/var/log/syslog", "/var/log/messages", "/var/log/auth.log", "/var/log/secure"}, path) {
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
