package parse_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// Of an address that is given twice and differently, one may be what a client wrote into a text that was not escaped.
func TestJSONThatNamesTwoSourcesHasNone(t *testing.T) {
	t.Parallel()
	p := parse.New(parse.Options{})
	for line, want := range map[string]string{
		`{"msg":"login failed","user":"x","src_ip":"198.51.100.7","src_ip":"192.0.2.9"}`:                                           "invalid IP",
		`{"msg":"login failed","user":"x","src_ip":"192.0.2.9","src_ip":"192.0.2.9"}`:                                              "192.0.2.9",
		`{"msg":"login failed","user":"x","src_ip":"198.51.100.7"} {"src_ip":"192.0.2.9"}`:                                         "invalid IP",
		`{"msg":"login failed","src_ip":[{"a":[1]},"192.0.2.9"]}`:                                                                  "invalid IP",
		`{"request":"GET / HTTP/1.1","status":200,"user_agent":"x","remote_addr":"198.51.100.7","remote_addr":"192.0.2.9"}`:        "invalid IP",
		`{"request":"GET / HTTP/1.1","status":200,"user_agent":"x","remote_addr":"192.0.2.9","http_x_forwarded_for":"192.0.2.10"}`: "192.0.2.9",
	} {
		require.Equal(t, want, p.Parse([]byte(line), time.Now(), parse.Input{}).SourceIP.String(), line)
	}
}
