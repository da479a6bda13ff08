package sigma_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/sigma"
)

// ruleFolders are the folders of the public rules.
var ruleFolders = []string{"rules", "rules-compliance", "rules-emerging-threats", "rules-placeholder", "rules-threat-hunting"}

func parseFolder(t testing.TB, root string) []sigma.Document {
	t.Helper()
	var docs []sigma.Document
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yml") {
			return err
		}
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		parsed, err := sigma.Parse(path, data)
		require.NoError(t, err)
		docs = append(docs, parsed...)
		return nil
	})
	require.NoError(t, err)
	return docs
}

func publicRules(t testing.TB) []sigma.Document {
	t.Helper()
	var docs []sigma.Document
	for _, folder := range ruleFolders {
		docs = append(docs, parseFolder(t, testenv.Data(t, "sigma/"+folder))...)
	}
	return docs
}

// compilable returns the rules that need no placeholders, and counts the others.
func compilable(t testing.TB, docs []sigma.Document) (out []sigma.Document, refused int) {
	t.Helper()
	for _, d := range docs {
		if _, err := sigma.Compile([]sigma.Document{d}, sigma.Options{}); err != nil {
			require.ErrorContains(t, err, "placeholder")
			refused++
			continue
		}
		out = append(out, d)
	}
	return out, refused
}

func TestPublicRulesParseAndCompile(t *testing.T) {
	t.Parallel()
	docs := publicRules(t)
	require.Len(t, docs, 3780)
	usable, refused := compilable(t, docs)
	require.Equal(t, 25, refused, "rules with placeholders")
	rs, err := sigma.Compile(usable, sigma.Options{})
	require.NoError(t, err)
	require.Len(t, rs.Rules(), 3755)
}

type regressionInfo struct {
	Rules []struct {
		ID string `yaml:"id"`
	} `yaml:"rule_metadata"`
	Tests []struct {
		MatchCount int    `yaml:"match_count"`
		Path       string `yaml:"path"`
	} `yaml:"regression_tests_info"`
}

func TestRegressionEventsMatchTheirRules(t *testing.T) {
	t.Parallel()
	usable, _ := compilable(t, publicRules(t))
	rs, err := sigma.Compile(usable, sigma.Options{})
	require.NoError(t, err)
	tests, passed := 0, 0
	err = filepath.WalkDir(testenv.Data(t, "sigma/regression_data"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "info.yml" {
			return err
		}
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		var info regressionInfo
		require.NoError(t, yaml.Unmarshal(data, &info))
		for _, test := range info.Tests {
			name := filepath.Join(filepath.Dir(path), filepath.Base(test.Path))
			name = strings.TrimSuffix(name, filepath.Ext(name)) + ".json"
			if _, err := os.Stat(name); err != nil {
				t.Logf("%s has no JSON", path)
				continue
			}
			tests++
			got, want := countMatches(t, rs, name, info.Rules[0].ID), max(1, test.MatchCount)
			if got >= want {
				passed++
			} else {
				t.Errorf("%s: %d matches of %s, want %d", name, got, info.Rules[0].ID, want)
			}
		}
		return nil
	})
	require.NoError(t, err)
	t.Logf("%d of %d regression tests pass", passed, tests)
	require.Equal(t, 106, tests, "regression tests with JSON events")
	require.Equal(t, tests, passed)
}

func countMatches(t *testing.T, rs *sigma.RuleSet, path, id string) int {
	t.Helper()
	count := 0
	for _, ev := range windowsEvents(t, path) {
		for _, m := range rs.Match(ev) {
			if m.Rule.ID == id {
				count++
			}
		}
	}
	return count
}

// windowsEvents reads a sequence or a list of JSON events.
func windowsEvents(t testing.TB, path string) []sigma.Event {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	var events []sigma.Event
	for dec := json.NewDecoder(f); dec.More(); {
		var raw any
		require.NoError(t, dec.Decode(&raw))
		list, ok := raw.([]any)
		if !ok {
			list = []any{raw}
		}
		for _, one := range list {
			fields := make(map[string]any)
			flatten(fields, "", one.(map[string]any))
			events = append(events, sigma.Event{Logsource: sigma.Logsource{Product: "windows"}, Fields: sigma.FieldsOf(fields)})
		}
	}
	return events
}

// flatten moves the leaves of EventData and System to the top; attributes become
// Element_Attribute, and blanks in names are removed, as the specification says.
func flatten(out map[string]any, parent string, in map[string]any) {
	for key, v := range in {
		name := strings.ReplaceAll(key, " ", "")
		m, isMap := v.(map[string]any)
		switch {
		case key == "#attributes":
			for attribute, v := range m {
				out[parent+"_"+attribute] = v
			}
		case key == "#text":
			out[parent] = v
		case isMap:
			flatten(out, name, m)
		default:
			out[name] = v
		}
	}
}
