package rules_test

import (
	"bufio"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/rules"
	"github.com/ironpost/ironpost/sigma"
)

// technique matches the tag of an ATT&CK technique or sub-technique; tactics are
// the other tags of that namespace.
var (
	technique = regexp.MustCompile(`^attack\.t\d{4}(\.\d{3})?$`)
	tactics   = map[string]bool{
		"attack.reconnaissance": true, "attack.resource-development": true, "attack.initial-access": true,
		"attack.execution": true, "attack.persistence": true, "attack.privilege-escalation": true,
		"attack.defense-evasion": true, "attack.credential-access": true, "attack.discovery": true,
		"attack.lateral-movement": true, "attack.collection": true, "attack.command-and-control": true,
		"attack.exfiltration": true, "attack.impact": true,
	}
	roles = []string{"ironpost.source.attacker", "ironpost.source.victim", "ironpost.logger.actor", "ironpost.logger.victim"}
)

func names(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(rules.FS, "*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return names
}

func parse(t *testing.T, name string) []sigma.Document {
	t.Helper()
	data, err := rules.FS.ReadFile(name)
	require.NoError(t, err)
	docs, err := sigma.Parse(name, data)
	require.NoError(t, err)
	return docs
}

func meta(d sigma.Document) sigma.Meta {
	if d.Rule != nil {
		return d.Rule.Meta
	}
	return d.Correlation.Meta
}

func TestRulesCompileTogether(t *testing.T) {
	t.Parallel()
	var docs []sigma.Document
	for _, name := range names(t) {
		docs = append(docs, parse(t, name)...)
	}
	rs, err := sigma.Compile(docs, sigma.Options{}) // also refuses duplicate ids
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(rs.Rules())+len(rs.Correlations()), 12)
}

func TestRulesHaveMetadata(t *testing.T) {
	t.Parallel()
	for _, name := range names(t) {
		for _, d := range parse(t, name) {
			m := meta(d)
			at := m.Source.String()
			require.NotEmpty(t, m.ID, at)
			require.NotEmpty(t, m.Level, at)
			require.NotEmpty(t, m.Status, at)
			require.NotEmpty(t, m.FalsePositives, at)
			require.Greater(t, len(m.Description), 30, at)
			if m.Level == "informational" && len(m.Tags) == 0 { // about no attack
				continue
			}
			checkTags(t, at, m.Tags)
		}
	}
}

func checkTags(t *testing.T, at string, tags []string) {
	t.Helper()
	withTactic, withTechnique := false, false
	for _, tag := range tags {
		withTactic = withTactic || tactics[tag]
		withTechnique = withTechnique || technique.MatchString(tag)
		known := tactics[tag] || technique.MatchString(tag) || slices.Contains(roles, tag)
		require.True(t, known, "%s: %s is not a tag of ATT&CK, nor one that says whom the rule describes", at, tag)
	}
	require.True(t, withTactic && withTechnique, "%s needs a tactic and a technique", at)
}

// A request that anyone can make is never enough to stop a container, so no shipped rule is ironpost.conclusive (checkTags refuses it),
// and a rule on lines says what whoever logged them did: the victim of an attempt is no actor.
func TestRulesSayWhomTheyDescribe(t *testing.T) {
	t.Parallel()
	for _, name := range names(t) {
		for _, d := range parse(t, name) {
			m := meta(d)
			if m.Level == "informational" {
				continue
			}
			has := func(prefix string) (n int) {
				for _, tag := range m.Tags {
					if strings.HasPrefix(tag, prefix) {
						n++
					}
				}
				return n
			}
			ofPackets := d.Rule != nil && d.Rule.Logsource.Category == "network"
			require.LessOrEqual(t, has("ironpost.source."), 1, m.Source)
			if ofPackets {
				require.Equal(t, 1, has("ironpost.source."), m.Source)
				continue
			}
			require.Equal(t, 1, has("ironpost.logger."), m.Source)
		}
	}
}

func TestEveryRuleHasSamples(t *testing.T) {
	t.Parallel()
	folders, err := os.ReadDir("testdata")
	require.NoError(t, err)
	require.Len(t, folders, len(names(t)), "one folder per rule file")
	for _, name := range names(t) {
		for _, sample := range []string{"matching", "near-miss", "benign"} {
			checkSample(t, filepath.Join("testdata", strings.TrimSuffix(name, ".yml"), sample+".log"))
		}
	}
}

var address = regexp.MustCompile(`\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b`)

// checkSample requires at least one line, and addresses of RFC 5737 only.
func checkSample(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); lines++ {
		for _, found := range address.FindAllString(s.Text(), -1) {
			require.True(t, documentation(found), "%s: %s", path, found)
		}
	}
	require.Positive(t, lines, path)
}

func documentation(s string) bool {
	for _, block := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"} {
		if addr, err := netip.ParseAddr(s); err == nil && netip.MustParsePrefix(block).Contains(addr) {
			return true
		}
	}
	return false
}
