package config_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/config"
	"github.com/ironpost/ironpost/internal/setting"
)

// sample has every kind of key, a nested section and a secret.
type sample struct {
	Main struct {
		Name  string   `toml:"name"`
		On    bool     `toml:"on"`
		Size  int64    `toml:"size"`
		Small int8     `toml:"small"`
		Wait  int      `toml:"wait_secs"`
		List  []string `toml:"list"`
		Deep  struct {
			URL     string `toml:"url" secret:"true"`
			URLFile string `toml:"url_file"`
		} `toml:"deep" env:"DEEP"`
	} `toml:"main"`
	Other struct {
		Port int    `toml:"port"`
		Item []item `toml:"item"`
	} `toml:"other"`
}

type item struct {
	Name string   `toml:"name"`
	Size int      `toml:"size"`
	List []string `toml:"list"`
}

func (s sample) Validate() []setting.Problem {
	var p setting.Problems
	p.Add("main.name", setting.OneOf(s.Main.Name, "a", "b"))
	p.Each("main.list", s.Main.List, setting.NotEmpty)
	p.Add("other.port", setting.Between(s.Other.Port, 1, 9))
	for i, in := range s.Other.Item {
		p.Add(fmt.Sprintf("other.item.%d.size", i), setting.Between(in.Size, 0, 9))
		p.Each(fmt.Sprintf("other.item.%d.list", i), in.List, setting.NotEmpty)
	}
	return p
}

func defaults() sample {
	var s sample
	s.Main.Name, s.Main.Size, s.Main.List, s.Other.Port = "a", 5, []string{"x"}, 1
	return s
}

func write(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.toml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func load(path string, environ ...string) (sample, *config.Loaded, error) {
	return config.Load(defaults(), config.Options{Path: path, Named: true, Environ: environ})
}

func TestLayersWinInOrder(t *testing.T) {
	t.Parallel()
	path := write(t, "[main]\nname = \"b\"\nsize = 1_000\nsmall = 0x7f\nlist = [\"f\", # why\n \"g\",]\n[main.deep]\nurl = \"u\"\n")
	got, loaded, err := config.Load(defaults(), config.Options{
		Path: path, Environ: []string{"IRONPOST_MAIN_SIZE=7", "IRONPOST_MAIN_ON=true", "IRONPOST_DEEP_URL=v", "PATH=/bin"},
		Flags: []config.Flag{{Name: "--size", Key: "main.size", Value: "8"}},
	})
	require.NoError(t, err)
	var want sample
	want.Main.Name, want.Main.On, want.Main.Size, want.Main.Small, want.Main.List = "b", true, 8, 127, []string{"f", "g"}
	want.Main.Deep.URL, want.Other.Port = "v", 1
	require.Equal(t, want, got)
	require.True(t, loaded.Found)
	origins := map[string]string{}
	for _, v := range loaded.Values {
		origins[v.Key] = v.Origin.String()
	}
	require.Equal(t, map[string]string{
		"main.name": path + ":2", "main.on": "IRONPOST_MAIN_ON", "main.size": "--size", "main.small": path + ":4", "main.list": path + ":5",
		"main.wait_secs": "default", "main.deep.url": "IRONPOST_DEEP_URL", "main.deep.url_file": "default", "other.item": "default", "other.port": "default",
	}, origins)
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	path := write(t, `[main]
names = "b"
name = "c"
on = 1
size = "5"
small = 300
list = ["x", "", 3]
"a.b\u001b" = 1
deep = 4
[mian]
anything = 1
[other]
size = 1
main.x = 1
port = 10
port = 11
[main.deep]
url = 2026-01-01
[other.port]
`)
	_, _, err := load(path, "IRONPOST_MAIN_SIZE=x", "IRONPOST_MAIN_LIST=,")
	want := strings.ReplaceAll(strings.TrimSpace(`
@:2:1: main.names: unknown key, did you mean name?
@:3:8: main.name: "c" is not allowed, must be one of a, b
@:4:6: main.on: is a whole number, must be true or false
@:5:8: main.size: is a string, must be a whole number
@:6:9: main.small: 300 is out of range, must fit 8 bits
@:7:18: main.list: element 3 is a whole number, must be a string
@:8:1: main."a.b\x1b": unknown key in [main]
@:9:1: main.deep: is a section, not a key: write [main.deep]
@:10:2: mian: unknown section, did you mean main?
@:13:1: other.size: unknown key, did you mean main.size?
@:14:1: other.main: unknown key in [other]
@:15:8: other.port: 10 is out of range, must be 1 to 9
@:16:1: other.port: the key is already set at line 15, allowed once
@:18:7: main.deep.url: is a date or time, must be a string
@:19:8: other.port: is a key, not a section: write it as other.port = value
IRONPOST_MAIN_LIST: main.list: element 1 is empty, must be a list separated by commas
IRONPOST_MAIN_SIZE: main.size: "x" is not a whole number`), "@", path)
	// The range of a key that is also set twice is not checked.
	want = strings.Replace(want, path+":15:8: other.port: 10 is out of range, must be 1 to 9\n", "", 1)
	require.EqualError(t, err, want)
}

func TestSyntaxErrorHidesOtherProblems(t *testing.T) {
	t.Parallel()
	path := write(t, "[nonsense]\nx = 1\n[main]\nname = \"ü\" ]\n")
	_, _, err := load(path, "IRONPOST_MAIN_SIZE=x")
	var refused *config.Error
	require.ErrorAs(t, err, &refused)
	require.Len(t, refused.Problems, 1)
	require.Equal(t, config.Position{Line: 4, Column: 12}, refused.Problems[0].At, "columns count characters")
	require.ErrorContains(t, err, path+":4:12: syntax error: ")
}

func TestSyntaxErrorsOfValuesSayWhatToWrite(t *testing.T) {
	t.Parallel()
	for line, says := range map[string]string{
		"name = info":                ":2:8: syntax error: strings need quotes: name = \"info\"",
		"name=a # why":               ":2:6: syntax error: strings need quotes: name = \"a\"",
		"name = a\"b\"":              ":2:8: syntax error: ", // what was meant is not known
		"list = x, y":                ":2:8: syntax error: strings need quotes, and a list brackets: list = [\"x, y\"]",
		"wait_secs = 30s":            ":2:13: syntax error: a number has no unit: wait_secs is a whole number of seconds, write wait_secs = 30",
		"size = 5k":                  ":2:8: syntax error: a number has no unit: size is a whole number, write size = 5",
		"on = yes":                   ":2:6: syntax error: \"yes\" is not allowed, on must be true or false",
		"other = yes":                ":2:9: syntax error: ",
		"wait_secs = \"30s\"":        ":2:13: main.wait_secs: is a string, must be a whole number of seconds",
		"deep = {url = u:p@secret }": ":2:15: syntax error: ",
		"[main.deep]\nurl = u:p@hid": ":3:7: syntax error: strings need quotes: url = \"…\"",
	} {
		path := write(t, "[main]\n"+line+"\n")
		_, _, err := load(path)
		require.ErrorContains(t, err, path+says, line)
		require.NotContains(t, err.Error(), "hid", line)
	}
	_, _, err := load(write(t, ""), "IRONPOST_MAIN_WAIT_SECS=30s")
	require.EqualError(t, err, `IRONPOST_MAIN_WAIT_SECS: main.wait_secs: "30s" is not a whole number of seconds`)
}

func TestMissingFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none.toml")
	_, _, err := load(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, path)
	got, loaded, err := config.Load(defaults(), config.Options{Path: path, Environ: []string{"IRONPOST_OTHER_PORT=4"}})
	require.NoError(t, err)
	require.Equal(t, 4, got.Other.Port)
	require.False(t, loaded.Found)
	require.Equal(t, []string{"x"}, got.Main.List)
}

func TestUnreadableFilesAreRefused(t *testing.T) {
	t.Parallel()
	_, _, err := load(t.TempDir())
	require.ErrorContains(t, err, "is not a regular file")
	_, _, err = load(write(t, strings.Repeat("#", 1<<20+1)))
	require.ErrorContains(t, err, "is larger than 1048576 bytes")
	_, _, err = load(write(t, "\xef\xbb\xbf[main]\r\nname = \"b\"\r\n"))
	require.NoError(t, err, "a byte order mark and CRLF are fine")
}

func TestLongLineIsCountedOnce(t *testing.T) {
	t.Parallel()
	start := time.Now()
	_, _, err := load(write(t, "[main]\nlist = ["+strings.Repeat("1,", 200_000)+"]"))
	require.ErrorContains(t, err, ":2:9: main.list: element 1 is a whole number, must be a string\n")
	require.ErrorContains(t, err, ":2:207: main.list: element 100 is a whole number, must be a string\nand 199900 more problems")
	require.Less(t, time.Since(start), 20*time.Second)
}

func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&file, "unknown_key_%d = 1\n", i)
	}
	start := time.Now()
	_, _, err := load(write(t, file.String()))
	require.Less(t, time.Since(start), 20*time.Second)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 101)
	require.Equal(t, "and 39900 more problems", lines[100])
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("redis://u:hunter2@h/1?password=p&x=y\n"), 0o644))
	require.NoError(t, os.Chmod(secret, 0o644))
	got, loaded, err := load(write(t, ""), "IRONPOST_DEEP_URL_FILE="+secret)
	require.NoError(t, err)
	require.Equal(t, "redis://u:hunter2@h/1?password=p&x=y", got.Main.Deep.URL)
	shown, _ := loaded.Get("main.deep.url")
	require.Equal(t, `"redis://u:xxxxx@h/1?password=xxxxx&x=y"`, shown.Text)
	require.Equal(t, secret, shown.Origin.String())
	require.Len(t, loaded.Warnings, 1)
	require.Contains(t, loaded.Warnings[0], "IRONPOST_DEEP_URL_FILE: main.deep.url_file: ")
	require.Contains(t, loaded.Warnings[0], "chmod 600")
	require.NotContains(t, fmt.Sprintf("%+v", *loaded), "hunter2", "printing it shows no secret")
}

func TestPasswordInWorldReadableFileIsAWarning(t *testing.T) {
	t.Parallel()
	path := write(t, "[main.deep]\nurl = \"r://u:hunter2@h\"")
	_, loaded, err := load(path)
	require.NoError(t, err)
	require.Empty(t, loaded.Warnings)
	require.NoError(t, os.Chmod(path, 0o644))
	_, loaded, err = load(path)
	require.NoError(t, err)
	require.Equal(t, []string{path + ":2:7: main.deep.url: holds a password and every user may read the file (mode 0644), chmod 640 it"}, loaded.Warnings)
	_, loaded, err = load(path, "IRONPOST_DEEP_URL=r://u:other@h")
	require.NoError(t, err)
	require.Empty(t, loaded.Warnings)
}

func TestBadSecretFiles(t *testing.T) {
	t.Parallel()
	empty := write(t, " \n")
	cases := map[string]string{
		"url_file = \"" + empty + "\"":     ":2:12: main.deep.url_file: \"" + empty + "\" is empty, must hold the secret",
		"url_file = \"/no/such/file\"":     ":2:12: main.deep.url_file: cannot read the secret: ",
		"url_file = \"/\"":                 ":2:12: main.deep.url_file: cannot read the secret: \"/\" is not a regular file",
		"url_file = \"/x\"\nurl = \"u:p\"": ":2:12: main.deep.url_file: main.deep.url is set too (",
	}
	for file, want := range cases {
		_, _, err := load(write(t, "[main.deep]\n"+file))
		require.ErrorContains(t, err, want)
	}
}

func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]string{
		"postgres://u:p@h/d": "postgres://u:xxxxx@h/d", "p@ss": "(hidden)", "": "", "%zz": "(hidden)", "nats://a:1": "nats://a:1",
		"nats://u:p@a:1, nats://u:q@b:1": "nats://u:xxxxx@a:1,nats://u:xxxxx@b:1", "r://u:12,34@h": "(hidden)",
	} {
		_, loaded, err := load(write(t, ""), "IRONPOST_DEEP_URL="+secret)
		require.NoError(t, err)
		shown, _ := loaded.Get("main.deep.url")
		require.Equal(t, `"`+want+`"`, shown.Text)
		require.Equal(t, want, shown.Data)
	}
}

func TestUnknownVariablesAreWarnings(t *testing.T) {
	t.Parallel()
	_, loaded, err := config.Load(defaults(), config.Options{
		Environ: []string{"IRONPOST_MAIN_NAMES=x", "IRONPOST_T_A=1", "IRONPOST_TX=1", "IRONPOST_\x1b[31m=1", "ironpost_main_name=x"},
		Ignore:  []string{"IRONPOST_T_*"},
	})
	require.NoError(t, err)
	require.Equal(t, []string{
		"IRONPOST_MAIN_NAMES: no key has this variable, it is ignored, did you mean IRONPOST_MAIN_NAME?",
		"IRONPOST_TX: no key has this variable, it is ignored",
		`"IRONPOST_\x1b[31m": no key has this variable, it is ignored`,
	}, loaded.Warnings)
}

func TestDiff(t *testing.T) {
	t.Parallel()
	_, old, err := load(write(t, "[main]\nlist = [\"x\"]"), "IRONPOST_DEEP_URL=r://u:one@h")
	require.NoError(t, err)
	_, changed, err := load(write(t, "[main]\nlist = [\"x\", \"y\\u001b\"]\n[other]\nport = 1"), "IRONPOST_DEEP_URL=r://u:two@h")
	require.NoError(t, err)
	require.Empty(t, config.Diff(old, old))
	var lines []string
	for _, c := range config.Diff(old, changed) {
		lines = append(lines, c.String())
	}
	require.Equal(t, []string{
		`main.list: ["x"] -> ["x", "y\U0000001B"]`,
		`main.deep.url: "r://u:xxxxx@h" -> "r://u:xxxxx@h" (the hidden part changed)`,
	}, lines)
}

func TestDefaultsAreNotShared(t *testing.T) {
	t.Parallel()
	given := defaults()
	got, _, err := config.Load(given, config.Options{})
	require.NoError(t, err)
	got.Main.List[0] = "changed"
	require.Equal(t, "x", given.Main.List[0])
}

func TestUnsupportedTypesAreRefused(t *testing.T) {
	t.Parallel()
	_, _, err := config.Load(struct {
		A float64 `toml:"a"`
	}{}, config.Options{})
	require.EqualError(t, err, "config: key a: type float64 is not supported: use string, bool, an integer, []string or a slice of structs")
	_, _, err = config.Load(struct{ A string }{}, config.Options{})
	require.ErrorContains(t, err, "needs an exported name and a plain toml tag")
}

func TestListsOfSections(t *testing.T) {
	t.Parallel()
	want := []item{{Name: "a", List: []string{"x", "y"}}, {Size: 3}}
	for _, text := range []string{
		"[other]\nport = 2\n[[other.item]]\nname = \"a\"\nlist = [\"x\", \"y\"]\n[[other.item]]\nsize = 3\n[main]\non = true\n",
		"[other]\nport = 2\nitem = [{name = \"a\", list = [\"x\", \"y\"]}, {size = 3}]\n[main]\non = true\n",
	} {
		got, loaded, err := load(write(t, text))
		require.NoError(t, err)
		require.Equal(t, want, got.Other.Item)
		require.True(t, got.Main.On)
		v, _ := loaded.Get("other.item")
		require.Equal(t, `[{list = ["x", "y"], name = "a", size = 0}, {list = [], name = "", size = 3}]`, v.Text)
		require.Empty(t, v.Variable)
		require.Equal(t, config.FromFile, v.Origin.Kind)
		again, _, err := load(write(t, "other.item = "+v.Text))
		require.NoError(t, err)
		require.Equal(t, "a", again.Other.Item[0].Name)
		_, none, err := load(write(t, ""))
		require.NoError(t, err)
		require.Len(t, config.Diff(loaded, none), 3)
	}
}

func TestMistakesInListsOfSectionsArePlaced(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[[other.item]]\nsize = 1\n[[other.item]]\nsize = 10": ":4:8: other.item.1.size: 10 is out of range, must be 0 to 9",
		"[[other.item]]\nlist = [\"a\",\n\"\"]":               ":3:1: other.item.0.list: element 2: must not be empty",
		"[[other.item]]\nnam = 1":                             ":2:1: other.item.0.nam: unknown key, did you mean name?",
		"[[other.item]]\nsize = \"1\"":                        ":2:8: other.item.0.size: is a string, must be a whole number",
		"[[other.item]]\nsize = 1\nsize = 2":                  ":3:1: other.item.0.size: the key is already set at line 2, allowed once",
		"[other.item]\nsize = 1":                              ":1:8: other.item: is a list of sections: write [[other.item]]",
		"[other]\nitem = [1]":                                 ":2:8: other.item: element 1 is a whole number, must be a section",
		"[other]\nitem = 1":                                   ":2:8: other.item: is a whole number, must be a list of sections",
		"[other]\nitem = []\n[[other.item]]\nsize = 1":        ":3:9: other.item: the list is already set at line 2: write all of its sections as [[other.item]]",
		"[other]\nitem = [{size = 1}, {siz = 2}]":             ":2:22: other.item.1.siz: unknown key, did you mean size?",
		"[[other.item]]\nsize = 30s":                          ":2:8: syntax error: a number has no unit: size is a whole number, write size = 30",
	} {
		path := write(t, text)
		_, _, err := load(path)
		require.EqualError(t, err, path+want)
	}
}
