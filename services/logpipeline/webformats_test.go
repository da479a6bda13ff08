package logpipeline_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline"
)

// The same three attacks, as the servers of the web write requests.
func TestWebAttacksRaiseTheSameAlertsInEveryFormat(t *testing.T) {
	t.Parallel()
	attacks := []string{"/../../etc/passwd", "/?id=1%20UNION%20SELECT%201,2", "/uploads/shell.php?cmd=id"}
	const combined = `192.0.2.7 - - [23/Nov/2026:08:00:00 +0000] "GET %s HTTP/1.1" 404 12 "-" "curl"`
	for name, format := range map[string]string{
		"common":              `192.0.2.7 - - [23/Nov/2026:08:00:00 +0000] "GET %s HTTP/1.1" 404 12`,
		"combined":            combined,
		"more behind":         combined + ` "203.0.113.9" 0.003 "x"`,
		"virtual host":        `www.example.org:443 ` + combined,
		"forwarded before":    `203.0.113.9, 198.51.100.1 ` + combined,
		"no ident and user":   `192.0.2.7 [23/Nov/2026:08:00:00 +0000] "GET %s HTTP/1.1" 404 12 "-" "curl"`,
		"ISO time":            `192.0.2.7 - - [2026-11-23T08:00:00+00:00] "GET %s HTTP/1.1" 404 12 "-" "curl"`,
		"werkzeug":            `192.0.2.7 - - [23/Nov/2026 08:00:00] "GET %s HTTP/1.1" 404 -`,
		"uvicorn":             `INFO:     192.0.2.7:4444 - "GET %s HTTP/1.1" 404 Not Found`,
		"nginx over syslog":   `<190>Nov 23 08:00:00 h nginx: ` + combined,
		"nginx JSON":          `{"time_iso8601":"2026-11-23T08:00:00+00:00","remote_addr":"192.0.2.7","request_method":"GET","request_uri":"%s","status":404}`,
		"nginx JSON, request": `{"remote_addr":"192.0.2.7","request":"GET %s HTTP/1.1","status":"404"}`,
		"Apache JSON":         `{"remoteIP":"192.0.2.7","request":"%s","query":"","method":"GET","status":"404"}`,
		"Caddy":               `{"ts":1764446400.89,"request":{"remote_ip":"10.0.0.1","client_ip":"192.0.2.7","method":"GET","uri":"%s"},"status":404}`,
		"Traefik":             `{"ClientHost":"192.0.2.7","RequestMethod":"GET","RequestPath":"%s","DownstreamStatus":404}`,
		"HAProxy":             `Nov 23 08:00:00 h haproxy[7]: 192.0.2.7:4444 [23/Nov/2026:08:00:00.123] fe be/s 0/0/1/2/3 404 12 - - ---- 1/1/0/0/0 0/0 "GET %s HTTP/1.1"`,
		"nginx error":         `2026/11/23 08:00:00 [error] 7#7: *1 open() "/x" failed (2: No such file), client: 192.0.2.7, server: _, request: "GET %s HTTP/1.1", host: "h"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, problems, err := logpipeline.NewOffline(logpipeline.DefaultConfig(), "h")
			require.NoError(t, err)
			require.NoError(t, problems)
			var titles []string
			for i, uri := range attacks {
				for _, a := range o.Line(fmt.Sprint("web.log:", i), fmt.Appendf(nil, format, uri), time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)) {
					require.Equal(t, "192.0.2.7", a.Source.IP)
					titles = append(titles, a.Title)
				}
			}
			slices.Sort(titles)
			require.Equal(t, []string{"Path Traversal In Web Request", "SQL Injection In Web Request", "Web Shell Probe"}, titles)
		})
	}
}
