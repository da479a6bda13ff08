package policy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

func TestPatternsThatMatchNothingAreMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`rules = ["^web.*"]`:            `5:10: policy.match.rules: "^web.*" is a regular expression, but patterns are globs: * is any text, ? one character; write "web*"`,
		`tags = ["x*", "T1190"]`:        `5:15: policy.match.tags: "T1190" matches no tag: write "attack.t1190"`,
		`tags = ["t1110.*"]`:            `5:9: policy.match.tags: "t1110.*" matches no tag: write "attack.t1110.*"`,
		`tags = ["attack.T1190"]`:       `5:9: policy.match.tags: "attack.T1190" matches no tag: tags are lower case, write "attack.t1190"`,
		`tags = ["lateral-movement"]`:   `5:9: policy.match.tags: "lateral-movement" matches no tag: tags have a namespace, such as attack.lateral-movement`,
		`tags = ['attack\.t1190']`:      `5:9: policy.match.tags: "attack\\.t1190" is a regular expression, but patterns are globs: * is any text, ? one character; write "attack.t1190"`,
		`containers = ["/web"]`:         `5:15: policy.match.containers: "/web" matches no container: names have no slash here, write "web"`,
		`containers = ["^web-[0-9]+$"]`: `5:15: policy.match.containers: "^web-[0-9]+$" is a regular expression, but patterns are globs: * is any text, ? one character; write "web-*"`,
		`containers = ["(a|b)"]`:        `5:15: policy.match.containers: "(a|b)" matches no container: a pattern is a glob of letters, digits and _ . -, * is any text, ? one character`,
		`containers = [".*"]`:           `5:15: policy.match.containers: ".*" is a regular expression, but patterns are globs: * is any text, ? one character; write "*"`,
		`images = ["nginx:\\d+"]`:       `5:11: policy.match.images: "nginx:\\d+" is a regular expression, but patterns are globs: * is any text, ? one character; write "nginx:*"`,
		`labels = ["env = prod"]`:       `5:11: policy.match.labels: "env = prod" matches no label: write "env=prod"`,
		`labels = ["env=^prod$"]`:       `5:11: policy.match.labels: "^prod$" is a regular expression, but patterns are globs: * is any text, ? one character; write "prod"`,
	} {
		dir := folder(t, "p.toml", "[[policy]]\nid = \"a\"\nactions = [\"notify\"]\n[policy.match]\n"+text+"\n")
		set, err := policy.Load(dir)
		require.NoError(t, err, "the guard loads it: %s", text)
		require.Len(t, set.Mistakes, 1, text)
		require.Equal(t, want, strings.TrimPrefix(set.Mistakes[0].String(), dir+"/p.toml:"))
	}
	set, err := policy.Load(folder(t, "p.toml", full))
	require.NoError(t, err)
	require.Empty(t, set.Mistakes)
}

func TestActionsThatAnotherIncludesAreMistakes(t *testing.T) {
	t.Parallel()
	dir := folder(t, "p.toml", "[[policy]]\nid = \"a\"\nactions = [\"pause\", \"disconnect\", \"isolate\"]\nmatch.severity = \"low\"\n")
	set, err := policy.Load(dir)
	require.NoError(t, err)
	var got []string
	for _, p := range set.Mistakes {
		got = append(got, strings.TrimPrefix(p.String(), dir+"/"))
	}
	require.Equal(t, []string{
		"p.toml:3:11: policy.actions: isolate does pause, too: drop pause",
		"p.toml:3:11: policy.actions: isolate does disconnect, too: drop disconnect",
	}, got)
}

func TestRulesAndTagsThatDoNotExist(t *testing.T) {
	t.Parallel()
	dir := folder(t, "p.toml", `[[policy]]
id = "a"
actions = ["notify"]
match.rules = ["web_shell", "Web Shell Access", "929a690e-*", "miner"]
match.tags = ["attack.t1505*", "attack.t9999", "cve.2021.44228"]
[[policy]]
id = "off"
enabled = false
actions = ["notify"]
match.rules = ["none"]
`)
	set, err := policy.Load(dir)
	require.NoError(t, err)
	var got []string
	for _, p := range set.CheckRules([]event.Rule{{ID: "929a690e-bef0", Title: "Web Shell Access", Tags: []string{"attack.t1505.003"}}}) {
		got = append(got, strings.TrimPrefix(p.String(), dir+"/"))
	}
	require.Equal(t, []string{
		`p.toml:4:16: policy.match.rules: "web_shell" is no id or title of a rule, did you mean "Web Shell Access"?`,
		`p.toml:4:63: policy.match.rules: "miner" is no id or title of a rule that is loaded`,
		`p.toml:5:32: policy.match.tags: "attack.t9999" is no tag of a rule that is loaded`,
	}, got)
}

// A policy that stops containers for what others did to them does nothing, and lint says so.
func TestRulesAboutVictimsStopNoContainer(t *testing.T) {
	t.Parallel()
	dir := folder(t, "p.toml", `[[policy]]
id = "logger"
actions = ["isolate"]
match.tags = ["attack.t1595*", "attack.t1505*"]
[[policy]]
id = "source"
actions = ["isolate"]
attribute_by = ["address"]
match.tags = ["attack.t1595*"]
[[policy]]
id = "block"
actions = ["block-source"]
match.tags = ["attack.t1595*"]
`)
	set, err := policy.Load(dir)
	require.NoError(t, err)
	problems := set.CheckVictims([]event.Rule{
		{ID: "1", Title: "Probe", Tags: []string{"attack.t1595.002", policy.TagSourceAttacker, policy.TagLoggerVictim}},
		{ID: "2", Title: "Web Shell Access", Tags: []string{"attack.t1505.003", policy.TagSourceAttacker, policy.TagLoggerActor}},
	})
	require.Len(t, problems, 1)
	require.Equal(t, dir+`/p.toml:4:15: policy.match.tags: "Probe" tells of attacks on the container that logs it, not by it, so no container is acted on for that`, problems[0].String())
}
