package setting_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/setting"
)

func TestChecksAcceptGoodValuesAndExplainBadOnes(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ got, want string }{
		"one of, allowed":        {setting.OneOf("json", "json", "pretty"), ""},
		"one of, not allowed":    {setting.OneOf("xml", "json", "pretty"), `"xml" is not allowed, must be one of json, pretty`},
		"one of, empty":          {setting.OneOf("", "json"), `"" is not allowed, must be one of json`},
		"between, low end":       {setting.Between(1, 1, 10), ""},
		"between, high end":      {setting.Between(10, 1, 10), ""},
		"between, below":         {setting.Between(0, 1, 10), "0 is out of range, must be 1 to 10"},
		"between, above":         {setting.Between(11, 1, 10), "11 is out of range, must be 1 to 10"},
		"not empty":              {setting.NotEmpty("x"), ""},
		"only spaces":            {setting.NotEmpty("  "), "must not be empty"},
		"path":                   {setting.Path("/var/lib/ironpost"), ""},
		"path, relative":         {setting.Path("var/lib"), `"var/lib" is a relative path, must be absolute`},
		"path, parent":           {setting.Path("/var/../etc"), `"/var/../etc" must not contain ".."`},
		"path, dots in a name":   {setting.Path("/var/a..b"), ""},
		"path, NUL":              {setting.Path("/a\x00b"), "a path must not contain a NUL character"},
		"path, empty":            {setting.Path(""), "must not be empty, must be an absolute path"},
		"path, empty allowed":    {setting.OptionalPath(""), ""},
		"glob":                   {setting.Glob("/var/log/*.log"), ""},
		"glob, broken":           {setting.Glob("/var/log/[a"), `"/var/log/[a" is not a valid pattern: a [ without ] or a \ at the end`},
		"address":                {setting.HostPort("127.0.0.1:5514"), ""},
		"address, IPv6":          {setting.HostPort("[::1]:514"), ""},
		"address, every":         {setting.HostPort(":514"), ""},
		"address, empty allowed": {setting.OptionalHostPort(""), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, c.got)
		})
	}
}

func TestHostPortRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:http", "::1:514", "a b:1", "host/x:1"} {
		require.NotEmpty(t, setting.HostPort(bad), bad)
	}
}

func TestShownEscapesAndCuts(t *testing.T) {
	t.Parallel()
	require.Equal(t, `"\x1b[31m"`, setting.Shown("\x1b[31m"))
	require.LessOrEqual(t, len(setting.Shown(strings.Repeat("a", 1000))), 90)
}

func TestProblemsCollect(t *testing.T) {
	t.Parallel()
	var p setting.Problems
	p.Add("fine", "")
	p.Addf("batch_size", "%d is too many", 7)
	p.Each("watch_paths", []string{"/a", "b"}, setting.Path)
	require.Equal(t, setting.Problems{
		{Key: "log_pipeline.batch_size", What: "7 is too many"},
		{Key: "log_pipeline.watch_paths.1", What: `"b" is a relative path, must be absolute`},
	}, p.Under("log_pipeline"))
	require.Equal(t, "a: b", setting.Problem{Key: "a", What: "b"}.String())
}
