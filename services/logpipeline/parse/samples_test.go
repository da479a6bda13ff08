package parse_test

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

var update = flag.Bool("update", false, "write what the samples give into their files")

// Each file of testdata/samples holds lines of one format, and below each what it is parsed to: all attributes and fields but raw. Texts
// are as they are, other values have their type. "go test -run TestSamples -update" writes them.
func TestSamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/samples/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			got := parseSamples(t, string(want))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			require.Equal(t, string(want), got)
		})
	}
}

// sampleLines returns the lines of all samples.
func sampleLines(t testing.TB) (lines []string) {
	files, err := filepath.Glob("testdata/samples/*.txt")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			if sample, ok := strings.CutPrefix(line, "> "); ok {
				lines = append(lines, sample)
			}
		}
	}
	for _, f := range shippedFormats().Described.All() {
		for _, s := range f.Samples {
			lines = append(lines, s.Line)
		}
	}
	return lines
}

// parseSamples returns text with what its lines are parsed to. Lines that begin with "# " are comments, with "> " samples.
func parseSamples(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line, isSample := strings.CutPrefix(lines.Text(), "> ")
		switch {
		case isSample:
			fmt.Fprintf(&out, "> %s\n%s\n", line, describe(read(line)))
		case strings.HasPrefix(lines.Text(), "# "):
			fmt.Fprintln(&out, lines.Text())
		}
	}
	require.NoError(t, lines.Err())
	return out.String()
}

// describe returns the attributes and fields of ev, one a line.
func describe(ev parse.Event) string {
	var out strings.Builder
	l := ev.Logsource
	fmt.Fprintf(&out, "  %s; category %q, product %q, service %q\n", ev.Format, l.Category, l.Product, l.Service)
	if !ev.Time.IsZero() {
		fmt.Fprintf(&out, "  at %s\n", ev.Time.UTC().Format(time.RFC3339Nano))
	}
	if ev.SourceIP.IsValid() {
		fmt.Fprintf(&out, "  from %s port %d\n", ev.SourceIP, ev.SourcePort)
	}
	if ev.User != "" {
		fmt.Fprintf(&out, "  user %s\n", ev.User)
	}
	for _, name := range slices.Sorted(maps.Keys(ev.Fields.Map())) {
		switch v := ev.Fields.Map()[name].(type) {
		case string:
			if name != "raw" {
				fmt.Fprintf(&out, "    %s: %s\n", name, v)
			}
		default:
			fmt.Fprintf(&out, "    %s: %T %v\n", name, v, v)
		}
	}
	for _, more := range ev.More {
		fmt.Fprintf(&out, "  besides:\n%s", describe(more))
	}
	return out.String()
}
