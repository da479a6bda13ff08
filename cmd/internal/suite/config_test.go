package suite

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/config"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// examplePath is the example configuration as seen from this package.
const examplePath = "../../../ironpost.toml.example"

func example(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(examplePath)
	require.NoError(t, err)
	return string(data)
}

// loadAsRoot loads with root's defaults, for any user of the test, and only the given variables.
func loadAsRoot(path string, environ ...string) (Config, *config.Loaded, error) {
	return config.Load(defaults(rootPlaces()), config.Options{Path: path, Named: path != "", Environ: environ, Ignore: ignored()})
}

func write(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ironpost.toml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// effective loads with the given variables and returns every value as TOML, by key.
func effective(t testing.TB, path string, environ ...string) map[string]string {
	t.Helper()
	_, loaded, err := loadAsRoot(path, environ...)
	require.NoError(t, err)
	values := map[string]string{}
	for _, v := range loaded.Values {
		values[v.Key] = v.Text
	}
	return values
}

func TestExampleIsRootsDefaults(t *testing.T) {
	t.Parallel()
	got, loaded, err := loadAsRoot(examplePath)
	require.NoError(t, err)
	want, _, err := loadAsRoot("")
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Empty(t, loaded.Warnings)
	for _, v := range withVariables(loaded) {
		require.Equal(t, config.FromFile, v.Origin.Kind, "%s is not in the example", v.Key)
	}
}

func TestExampleDocumentsEveryKey(t *testing.T) {
	t.Parallel()
	_, loaded, err := loadAsRoot("")
	require.NoError(t, err)
	documented := map[string]entry{}
	for _, e := range entries(t) {
		require.Contains(t, e.meaning, "Allowed: ", e.key)
		if !e.listed {
			documented[e.key] = e
		}
	}
	values := withVariables(loaded)
	require.Len(t, documented, len(values))
	for _, v := range values {
		e := documented[v.Key]
		require.Equal(t, v.Variable, e.variable, v.Key)
		require.Greater(t, strings.Index(e.meaning, "Allowed: "), 4, "%s has no meaning", v.Key)
	}
}

// withVariables returns the values of loaded but for lists of sections.
func withVariables(loaded *config.Loaded) []config.Value {
	return slices.DeleteFunc(slices.Clone(loaded.Values), func(v config.Value) bool { return v.Variable == "" })
}

// TestExampleDocumentsListedSections finds each key of a list of sections in a comment of the example, with a value that is valid.
func TestExampleDocumentsListedSections(t *testing.T) {
	t.Parallel()
	documented := map[string]string{}
	for _, e := range entries(t) {
		if e.listed {
			documented[strings.TrimPrefix(e.key, "log_pipeline.input.")] = e.value
		}
	}
	element := reflect.TypeFor[logpipeline.Input]()
	require.Len(t, documented, element.NumField())
	selectors := []string{"path", "unit", "container", "listen"}
	for i := range element.NumField() {
		name := element.Field(i).Tag.Get("toml")
		require.Contains(t, documented, name)
		text := "[[log_pipeline.input]]\n" + name + " = " + documented[name] + "\n"
		if !slices.Contains(selectors, name) {
			text += "listen = \"syslog_tcp\"\n"
		}
		_, _, err := loadAsRoot(write(t, text))
		require.NoError(t, err)
	}
}
