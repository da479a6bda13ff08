package glob_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/glob"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"*", "", true},
		{"web-*", "web-1", true},
		{"web-*", "my-web-1", false},
		{"web-?", "web-", false},
		{"*/nginx:*", "docker.io/library/nginx:1.25", true},
		{"a*b*c", "axxbyyc", true},
		{"a*b*c", "axxbyy", false},
		{"[a]", "a", false},
		{"WEB", "web", false},
	} {
		require.Equal(t, c.want, glob.Match(c.pattern, c.text), "%q %q", c.pattern, c.text)
	}
}

// With an exponential match this test would take years.
func TestMatchCostIsBounded(t *testing.T) {
	t.Parallel()
	began := time.Now()
	require.False(t, glob.Match(strings.Repeat("a*", 128)+"b", strings.Repeat("a", 60_000)))
	require.Less(t, time.Since(began), 5*time.Second)
}
