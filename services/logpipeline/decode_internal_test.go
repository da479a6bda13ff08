package logpipeline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// An address that a line may have been cut in is no source; one that is whole is, however long the line.
func TestSourceOfALineThatWasCut(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`{"user":"x","src_ip":"192.0.2.10"}`:                                   "192.0.2.10",
		"Nov  3 15:04:05 h sshd[1]: Failed password for root from 192.0.2.1":   "",
		"Nov  3 15:04:05 h sshd[1]: Failed password for root from 2001:db8::1": "",
		`192.0.2.7 - - [03/Nov/2026:15:04:05 +0000] "GET /aaaaaaaaaaaaaaaa`:    "",
	} {
		in := lineInput(parse.New(parse.Options{}), nil, "1", []byte(line), time.Now(), parse.Input{})
		in.dropCutSource([]byte(line))
		got := ""
		if in.SourceIP.IsValid() {
			got = in.SourceIP.String()
		}
		require.Equal(t, want, got, line)
		_, has := in.Fields.Get("src_ip")
		require.Equal(t, want != "", has, line)
	}
}
