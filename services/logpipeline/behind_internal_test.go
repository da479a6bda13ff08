package logpipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

func TestBehindNamesTheWorstSources(t *testing.T) {
	t.Parallel()
	n := snapshot{
		tail: tail.Stats{Behind: []tail.FileStats{
			{Path: "/var/log/a.log", Age: time.Second}, {Path: "/spool/spool-tcp-192.0.2.1-00000001.log", Age: time.Minute},
			{Path: "/spool/spool-tcp-192.0.2.1-00000002.log", Age: 2 * time.Second}, {Path: "/spool/spool-00000001.log", Age: 3 * time.Second},
		}},
		docker: docker.Stats{Behind: []docker.ContainerStats{{Name: "web", Age: 40 * time.Second}}}, packetAge: 4 * time.Second,
	}
	sources := n.behind(func(path string) bool { return strings.HasPrefix(path, "/spool/") })
	require.Equal(t, []sourceAge{
		{"syslog:tcp-192.0.2.1", time.Minute}, {"container:web", 40 * time.Second}, {"packets", 4 * time.Second},
		{"syslog:all", 3 * time.Second}, {"file:/var/log/a.log", time.Second},
	}, sources)
	require.Equal(t, []string{"syslog:tcp-192.0.2.1 is 60 s behind: its lines wait", "container:web is 40 s behind: its lines wait"}, behindReasons(sources))
}
