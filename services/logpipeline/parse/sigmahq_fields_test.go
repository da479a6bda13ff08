package parse_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// Every field that SigmaHQ's rules for auditd and for what Linux does use is one of some event. testdata/sigmahq_fields.txt has the sources that
// yield each; the parent of a program that plain auditd records is of an earlier event, which the parser alone does not know.
// "go test -run TestSigmaHQFields -update" writes it.
func TestSigmaHQFields(t *testing.T) {
	t.Parallel()
	const file = "testdata/sigmahq_fields.txt"
	rules := testenv.Data(t, "sigma/rules/linux")
	produced := producedFields(t)
	var out strings.Builder
	for _, folder := range []string{"auditd", "file_event", "network_connection", "process_creation"} {
		for _, field := range slices.Sorted(maps.Keys(ruleFields(t, filepath.Join(rules, folder)))) {
			sources := slices.Sorted(maps.Keys(produced[folder+" "+field]))
			require.NotEmpty(t, sources, "no event of %s has the field %s", folder, field)
			fmt.Fprintf(&out, "%s %s: %s\n", folder, field, strings.Join(sources, ", "))
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String())
}

// producedFields returns the sources of each field, by "auditd" or the category, and its name.
func producedFields(t *testing.T) map[string]map[string]bool {
	t.Helper()
	out := map[string]map[string]bool{}
	add := func(source string, evs ...parse.Event) {
		for _, ev := range evs {
			group := ev.Logsource.Category
			if group == "" && ev.Logsource.Service == "auditd" {
				group = "auditd"
			}
			for name := range ev.Fields.All() {
				key := group + " " + name
				if out[key] == nil {
					out[key] = map[string]bool{}
				}
				out[key][source] = true
			}
		}
	}
	kernel, err := os.ReadFile(kernelLog)
	require.NoError(t, err)
	for line := range strings.Lines(string(kernel)) {
		add("auditd", read(strings.TrimSuffix(line, "\n")))
	}
	for _, evs := range joinedBySerial(t, kernelLog) {
		add("auditd", evs...)
	}
	for _, line := range sampleLines(t) {
		ev := read(strings.TrimSuffix(line, "\n"))
		for _, of := range append([]parse.Event{ev}, ev.More...) {
			switch {
			case of.Logsource.Service == "sysmon":
				add("sysmon", of)
			case of.Format == parse.Audit:
				add("auditd", of)
			case of.Format == parse.Laurel, of.Format == parse.Auditbeat:
				add(string(of.Format), of)
			}
		}
	}
	return out
}

// ruleFields returns the names of the fields in the rules below a folder.
func ruleFields(t *testing.T, folder string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var rule struct {
			Detection map[string]any `yaml:"detection"`
		}
		require.NoError(t, yaml.Unmarshal(text, &rule), path)
		require.NotEmpty(t, rule.Detection, path)
		delete(rule.Detection, "condition")
		for _, search := range rule.Detection {
			collectFields(search, out)
		}
		return nil
	}))
	return out
}

// collectFields adds the names of the fields in a search: a map of fields, or a list of such maps or of keywords.
func collectFields(search any, out map[string]bool) {
	switch s := search.(type) {
	case []any:
		for _, item := range s {
			collectFields(item, out)
		}
	case map[string]any:
		for name := range s {
			if field, _, _ := strings.Cut(name, "|"); field != "" {
				out[field] = true
			}
		}
	}
}
