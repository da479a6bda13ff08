package logpipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const ownRule = `title: %TITLE%
id: 11111111-2222-4333-8444-555555555555
logsource:
  product: linux
detection:
  words: ["%WORD%"]
  condition: words
level: low
`

func writeRule(t *testing.T, dir, name, title, word string) {
	t.Helper()
	text := strings.NewReplacer("%TITLE%", title, "%WORD%", word).Replace(ownRule)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

func TestShippedRulesLoadBesideOnesOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shipped, err := loadRules(Config{ShippedRules: true})
	require.NoError(t, err)
	writeRule(t, dir, "a.yml", "Mine", "one")
	both, err := loadRules(Config{RulesPath: dir, ShippedRules: true})
	require.NoError(t, err)
	require.Empty(t, both.problems)
	require.Equal(t, shipped.count()+1, both.count())
	alone, err := loadRules(Config{RulesPath: dir})
	require.NoError(t, err)
	require.Equal(t, 1, alone.count())

	copied, err := os.ReadFile("../../rules/sudo_root_shell.yml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "copy.yml"), copied, 0o600))
	both, err = loadRules(Config{RulesPath: dir, ShippedRules: true})
	require.NoError(t, err)
	require.Empty(t, both.problems, "a copy takes the place of the shipped one")
	require.Equal(t, shipped.count()+1, both.count())
}

func TestReloadNamesRules(t *testing.T) {
	t.Parallel()
	load := func(dir string) *ruleSet {
		set, err := loadRules(Config{RulesPath: dir})
		require.NoError(t, err)
		return set
	}
	before, after := t.TempDir(), t.TempDir()
	writeRule(t, before, "same.yml", "Same", "x")
	writeRule(t, after, "same.yml", "Same", "y")
	old, now := load(before), load(after)
	require.Equal(t, map[string]any{"rules_changed": "Same"}, changeOf(old, now).fields())
	writeRule(t, after, "same.yml", "Other", "x")
	require.Equal(t, map[string]any{"rules_came": "Other", "rules_went": "Same"}, changeOf(old, load(after)).fields())
	require.Empty(t, changeOf(old, old).fields())
}

func TestRulesForWhatNothingProducesAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := strings.NewReplacer("%TITLE%", "For Windows", "%WORD%", "x", "product: linux", "product: windows").Replace(ownRule)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "w.yml"), []byte(text), 0o600))
	set, err := loadRules(Config{RulesPath: dir, ShippedRules: true})
	require.NoError(t, err)
	require.Equal(t, []string{"1 rules are for log sources that nothing here produces, they can hardly match: For Windows"}, set.remarks(nil))
}
