package parse_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// 10.0.0.0/8 are proxies, 192.0.2.7 is the client, and 203.0.113.9 is what the client claims to be.
func TestOnlyTrustedProxiesChooseTheClient(t *testing.T) {
	t.Parallel()
	const request = ` [29/Nov/2026:20:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "curl"`
	const haproxy = ` [29/Nov/2026:20:00:00.123] fe be/s 0/0/1/2/3 200 12 - - ---- 1/1/0/0/0 0/0 `
	const client, forged, none = "192.0.2.7", "203.0.113.9", ""
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}
	for _, c := range []struct{ line, trusting, otherwise string }{
		{"192.0.2.7 - -" + request, client, client},
		{"10.0.0.1 - -" + request, none, "10.0.0.1"},
		{"192.0.2.7 - -" + request + ` "203.0.113.9"`, client, client},
		{"10.0.0.1 - -" + request + ` "192.0.2.7"`, client, "10.0.0.1"},
		{"10.0.0.1 - -" + request + ` "203.0.113.9, 192.0.2.7, 10.0.0.2"`, client, "10.0.0.1"},
		{"10.0.0.1 - -" + request + ` "203.0.113.9, unknown"`, none, "10.0.0.1"},
		{"10.0.0.1 - -" + request + ` "x, 203.0.113.9"`, none, "10.0.0.1"},
		{"10.0.0.1 - -" + request + ` "203.0.113.9" "192.0.2.7"`, none, "10.0.0.1"},
		{"10.0.0.1 - -" + request + ` xff="192.0.2.7:4444" host="203.0.113.9"`, client, "10.0.0.1"},
		{"::ffff:10.0.0.1 - -" + request + ` "203.0.113.9,192.0.2.7,2001:db8:1::5"`, client, "10.0.0.1"},
		{"203.0.113.9, 192.0.2.7 - -" + request, client, none},
		{"203.0.113.9,192.0.2.7, 10.0.0.2 - -" + request, client, none},
		{"203.0.113.9, 192.0.2.7 10.0.0.2 - -" + request, client, "10.0.0.2"},
		{"203.0.113.9, 198.51.100.4 192.0.2.7 - -" + request, client, client},
		{"10.0.0.1 203.0.113.9, 192.0.2.7 - -" + request, client, none},
		{"192.0.2.7 10.0.0.1 - -" + request, client, none},
		{"10.0.0.1 192.0.2.7 - -" + request, client, none},
		{"203.0.113.9 192.0.2.7 - -" + request, none, none}, // either may be the peer
		{"192.0.2.7 203.0.113.9 - -" + request, none, none},
		{"- 192.0.2.7 - -" + request, client, client},
		{"203.0.113.9:80 192.0.2.7 - -" + request, client, client},
		{"_203.0.113.9 192.0.2.7 - -" + request, client, client},
		{"10.0.0.1:4444" + haproxy + `{curl|203.0.113.9, 192.0.2.7} "GET / HTTP/1.1"`, client, "10.0.0.1"},
		{"192.0.2.7:4444" + haproxy + `{curl|203.0.113.9} "GET / HTTP/1.1"`, client, client},
		{`{"remote_addr":"10.0.0.1","request":"GET / HTTP/1.1","status":200,"http_x_forwarded_for":"203.0.113.9, 192.0.2.7"}`, client, "10.0.0.1"},
		{`{"remote_addr":"192.0.2.7","request":"GET / HTTP/1.1","status":200,"http_x_forwarded_for":"203.0.113.9"}`, client, client},
		{`{"remote_addr":"192.0.2.7","request":"GET / HTTP/1.1","status":200,"client_ip":"203.0.113.9"}`, client, client},
	} {
		for want, proxies := range map[string][]netip.Prefix{c.trusting + " trusting": trusted, c.otherwise + " otherwise": nil} {
			ev := parse.New(parse.Options{}).Parse([]byte(c.line), now, parse.Input{Location: time.UTC, TrustedProxies: proxies})
			source, name := "", " otherwise"
			if ev.SourceIP.IsValid() {
				source = ev.SourceIP.String()
			}
			if proxies != nil {
				name = " trusting"
			}
			require.Equal(t, "webserver", ev.Logsource.Category, c.line)
			require.Equal(t, want, source+name, c.line)
			require.NotEqual(t, forged, ev.Fields.Text("c-ip"), c.line)
		}
	}
}
