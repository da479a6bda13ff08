package parse_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// Wherever nginx or a syslog daemon cuts a line, a client that the path of a request claims is not the source.
func TestClaimedClientInACutLineIsNoSource(t *testing.T) {
	t.Parallel()
	const claimed = "198.51.100.7"
	p := parse.New(parse.Options{})
	for _, header := range []string{"", "<190>Nov 29 20:00:00 web1 nginx: "} {
		path := strings.Repeat("a", 900) + ", client: " + claimed + `, server: www, request: "GET / HTTP/1.1", host: "www"` + strings.Repeat("b", 1000)
		line := header + fmt.Sprintf(`2026/11/29 20:00:00 [error] 7#7: *1 open() "/srv/%s" failed (2: No such file or directory), client: 192.0.2.9, server: www, request: "GET /x HTTP/1.1", host: "www"`, path)
		for cut := 1024; cut <= len(line); cut++ {
			ev := p.Parse([]byte(line[:cut]), time.Now(), parse.Input{})
			require.NotEqual(t, claimed, ev.SourceIP.String(), cut)
		}
	}
	limited := `2026/11/29 20:00:00 [error] 7#7: *1 upstream timed out, client: 192.0.2.9, server: www, request: "GET /` + strings.Repeat("a", 2000)
	require.Equal(t, "192.0.2.9", p.Parse([]byte(limited), time.Now(), parse.Input{}).SourceIP.String(), "nothing of the client precedes it")
}
