package logpipeline_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/rules"
	"github.com/ironpost/ironpost/services/logpipeline/packet"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/sigma"
)

const samples = "../../rules/testdata"

// Every shipped rule has samples: lines it must match, lines that are close and must not match, and benign
// lines that no rule may match.
func TestShippedRulesMatchTheirSamples(t *testing.T) {
	t.Parallel()
	set := shipped(t)
	names, err := fs.Glob(rules.FS, "*.yml")
	require.NoError(t, err)
	for _, file := range names {
		name := strings.TrimSuffix(file, ".yml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, matching(t, set, name, "matching"), file)
			require.NotContains(t, matching(t, set, name, "near-miss"), file)
			require.Empty(t, matching(t, set, name, "benign"))
		})
	}
}

func shipped(t *testing.T) *sigma.RuleSet {
	t.Helper()
	names, err := fs.Glob(rules.FS, "*.yml")
	require.NoError(t, err)
	var docs []sigma.Document
	for _, name := range names {
		raw, err := fs.ReadFile(rules.FS, name)
		require.NoError(t, err)
		parsed, err := sigma.Parse(name, raw)
		require.NoError(t, err)
		docs = append(docs, parsed...)
	}
	set, err := sigma.Compile(docs, sigma.Options{})
	require.NoError(t, err)
	return set
}

// matching returns the files of the rules that match a sample.
func matching(t *testing.T, set *sigma.RuleSet, rule, kind string) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(samples, rule, kind+".log"))
	require.NoError(t, err)
	parser := parse.New(parse.Options{Location: time.UTC})
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	correlator := set.NewCorrelator()
	var out []string
	for line := range strings.Lines(string(raw)) {
		for _, in := range read(parser, line, now) {
			matches := set.Match(in)
			for _, m := range matches {
				if !m.Silent {
					out = append(out, m.Rule.Source.File)
				}
			}
			began, _ := correlator.Observe(in, matches)
			for _, m := range began {
				if !m.Silent {
					out = append(out, m.Correlation.Source.File)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// read returns the events of a line of a sample: a packet record or a log line.
func read(parser *parse.Parser, line string, now time.Time) []sigma.Event {
	var p event.Packet
	if event.Decode([]byte(line), &p) != nil {
		ev := parser.Parse([]byte(line), now, parse.Input{})
		return []sigma.Event{{Logsource: ev.Logsource, Time: ev.Time, Fields: ev.Fields}}
	}
	var out []sigma.Event
	for _, e := range packet.Events(&p, func(sigma.Logsource) bool { return true }) {
		out = append(out, sigma.Event{Logsource: e.Logsource, Time: e.Time, Fields: sigma.FieldsOf(e.Fields)})
	}
	return out
}
