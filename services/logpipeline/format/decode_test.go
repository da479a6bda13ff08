package format_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/tomlfile"
	"github.com/ironpost/ironpost/services/logpipeline/format"
)

const valid = `name = "own"
contains = ["own:"]
regex = '^own: (?P<word>\w+)$'
[logsource]
product = "own"
[[sample]]
line = "own: a"
fields = { word = "a" }
`

// load returns the formats of a folder with one file, and its mistakes without the folder.
func load(t *testing.T, text string) (formats []*format.Format, mistakes []string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "own.toml"), []byte(text), 0o600))
	var problems tomlfile.Problems
	formats, err := format.Load(dir, &problems)
	require.NoError(t, err)
	for _, p := range tomlfile.SortByPosition(problems.All) {
		mistakes = append(mistakes, strings.TrimPrefix(p.String(), dir+"/"))
	}
	return formats, mistakes
}

func TestValidFormat(t *testing.T) {
	t.Parallel()
	formats, mistakes := load(t, valid)
	require.Empty(t, mistakes)
	require.Len(t, formats, 1)
	fields, ok := formats[0].Match("own: hello")
	require.True(t, ok)
	require.Equal(t, "hello", fields[0].Value.String())
	for _, other := range []string{"", "own: two words", "an own: hello", "other: hello"} {
		_, ok := formats[0].Match(other)
		require.False(t, ok, other)
	}
}

func TestMistakesNameTheirPlace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, replacement, want string }{
		"name":              {`"own"`, `"My Own"`, `own.toml:1:8: name: "My Own" is not a name: lower-case letters, digits and _, at most 40`},
		"unknown key":       {`contains`, `contain`, "own.toml:2:1: contain: unknown key"},
		"not anchored":      {`'^own`, `'own`, `own.toml:3:9: regex: "own: (?P<word>\\w+)$": must begin with ^`},
		"not a regex":       {`(?P<word>`, `(?P<word`, "own.toml:3:9: regex:"},
		"no group":          {`(?P<word>\w+)`, `\w+`, "has no named group"},
		"too large":         {`\w+`, `(?:(?:[a-z]{30}){30}){30}`, "own.toml:3:9: regex:"},
		"unknown grok":      {`regex = '^own: (?P<word>\w+)$'`, `grok = '^own: %{NOSUCH:word}$'`, "own.toml:3:8: grok:"},
		"both kinds":        {`[logsource]`, "[json]\nkind = \"*\"\n[logsource]", "own.toml:4:2: json: is for JSON objects"},
		"neither kind":      {`regex = '^own: (?P<word>\w+)$'`, ``, "own.toml:1:1: json: is missing"},
		"no log source":     {`product = "own"`, ``, "logsource: is empty"},
		"field of origin":   {`[logsource]`, "[set]\nhost = \"h\"\n[logsource]", "own.toml:5:1: set.host: must not be set by a format"},
		"time zone":         {`[logsource]`, "[event]\ntime = \"word\"\ntimezone = \"Mars/Here\"\n[logsource]", `own.toml:6:12: event.timezone: "Mars/Here" is no time zone`},
		"contains a letter": {`["own:"]`, `["o"]`, "own.toml:2:13: contains:"},
		"syntax":            {`product = "own"`, `product = own`, "own.toml:5:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, valid, c.old)
			formats, mistakes := load(t, strings.Replace(valid, c.old, c.replacement, 1))
			require.Empty(t, formats)
			require.NotEmpty(t, mistakes)
			require.Contains(t, strings.Join(mistakes, "\n"), c.want)
		})
	}
}

// A number that is larger than its type stays text, and the line is of the format all the same: a client cannot hide it so.
func TestGrokTypes(t *testing.T) {
	t.Parallel()
	formats, mistakes := load(t, strings.Replace(valid, `regex = '^own: (?P<word>\w+)$'`, `grok = '^own: %{INT:count:int} from %{IP:peer}$'`, 1))
	require.Empty(t, mistakes)
	for text, want := range map[string]any{"own: 12 from 192.0.2.7": int64(12), "own: 99999999999999999999 from 192.0.2.7": "99999999999999999999"} {
		fields, ok := formats[0].Match(text)
		require.True(t, ok, text)
		require.Equal(t, "count", fields[0].Field)
		require.Equal(t, want, fields[0].Value.Any())
		require.Equal(t, "192.0.2.7", fields[1].Value.String())
	}
}
