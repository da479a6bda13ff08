package logpipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// Linux_2k has 39 sources with five failures over SSH within ten minutes, which only PAM logged: 21 by address, 18 by name.
func TestEverySourceThatOnlyPAMLoggedIsFound(t *testing.T) {
	t.Parallel()
	raw := readText(t, testenv.Data(t, "loghub/Linux/Linux_2k.log"))
	parser := parse.New(parse.Options{Location: time.UTC})
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	set := shipped(t)
	correlator := set.NewCorrelator()
	found := map[string]map[string]bool{}
	for line := range strings.Lines(raw) {
		for _, in := range read(parser, line, now) {
			began, _ := correlator.Observe(in, set.Match(in))
			for _, m := range began {
				if found[m.Correlation.Title] == nil {
					found[m.Correlation.Title] = map[string]bool{}
				}
				found[m.Correlation.Title][fmt.Sprint(m.Group)] = true
			}
		}
	}
	require.Len(t, found["SSH Brute Force"], 21)
	require.Len(t, found["SSH Brute Force from a Host Name"], 18)
}
