package logpipeline

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// With a journal in use auto leaves the files of a syslog daemon and the kernel's device, and says so; without one it reads them. Sources
// that are named are read in any case.
func TestAutoReplacesFilesOfASyslogDaemon(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	without, with := c.choose(false), c.choose(true)
	require.Equal(t, choice{paths: c.WatchPaths, kernel: true}, without)
	require.Equal(t, choice{journal: true, paths: c.WatchPaths[4:]}, with)
	require.Equal(t, "no journal is in use below /var/log/journal, /run/log/journal, the kernel's log from /dev/kmsg", c.describe(without))
	require.Equal(t, "the journal, which has what is in /var/log/syslog, /var/log/messages, /var/log/auth.log, /var/log/secure", c.describe(with))

	c.Sources = []string{SourceFile, SourceJournald}
	require.Equal(t, choice{journal: true, paths: c.WatchPaths}, c.choose(true))
	c.Sources = []string{SourceSyslog, SourceKernel}
	require.Equal(t, choice{kernel: true}, c.choose(true))
}
