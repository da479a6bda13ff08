package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/config"
)

// FuzzLoad: no input makes Load panic, a problem stands inside the file and prints on one line without control characters, and what is
// accepted is what go-toml reads.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "[main]\nname = \"b\"\nlist = [\"x\"]\n", "main.deep = { url = \"x\" }", "[main]\nlist = [[1], {a=1}, 'x']", "[[main]]\n",
		"[main]\nname = \"\"\"\nb\"\"\"", "main = 1", "\"main\".name = 'a'", "[main]\nsize = 0b1\nsize = 1\n[main]", "a", "[main]\nname =", "\xff",
		"[main]\nlist = [\n# c\n\"x\" # d\n]\n", "[main.deep]\n[main]\ndeep.url = ''", "main.name.x = 1", "[[other.item]]\nname = 'a'\n[[other.item]]", "other.item = [{size = 1}]", "[main]\nsmall = -129", "[other]\nport = +3",
	} {
		f.Add(seed, "IRONPOST_MAIN_LIST=a,b")
	}
	path := filepath.Join(f.TempDir(), "c.toml")
	f.Fuzz(func(t *testing.T, file, variable string) {
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		got, _, err := load(path)
		requirePlaced(t, file, err)
		if err == nil {
			want := defaults()
			require.NoError(t, toml.Unmarshal([]byte(strings.TrimPrefix(file, "\xef\xbb\xbf")), &want))
			want.Main.Deep.URL = got.Main.Deep.URL // may come from url_file
			if len(want.Other.Item) == 0 {
				want.Other.Item = nil
			}
			require.Equal(t, want, got)
		}
		_, _, err = load(path, variable, "IRONPOST_MAIN_SIZE="+variable)
		requirePlaced(t, file, err)
	})
}

func requirePlaced(t *testing.T, file string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var refused *config.Error
	if !errors.As(err, &refused) {
		require.ErrorContains(t, err, "larger than")
		return
	}
	lines := strings.Split(file, "\n")
	for _, p := range refused.Problems {
		require.NotEmpty(t, p.What)
		require.False(t, strings.ContainsFunc(p.String(), func(r rune) bool { return r < ' ' || r == 0x7f }), "%q", p.String())
		if p.At.Line > 0 {
			require.LessOrEqual(t, p.At.Line, len(lines))
			require.LessOrEqual(t, p.At.Column, len(lines[p.At.Line-1])+1, "%q", p.String())
		}
	}
}
