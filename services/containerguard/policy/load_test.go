package policy_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// folder returns a folder of files, given as name, text, name, text.
func folder(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600))
	}
	return dir
}

// problems loads one file and returns its problems, without the folder.
func problemList(t testing.TB, text string) []string {
	t.Helper()
	dir := folder(t, "p.toml", text)
	_, err := policy.Load(dir)
	var bad *policy.Error
	require.ErrorAs(t, err, &bad)
	var out []string
	for _, p := range bad.Problems {
		out = append(out, strings.TrimPrefix(p.String(), dir+"/"))
	}
	return out
}

const full = `
[[policy]]
id = "web-attack"
name = "Answer web attacks"
description = "why"
enabled = true
priority = 7
actions = ["isolate", "block-source", "notify"]
ttl = "2h"
block_ttl = "7d"
widen = true
cooldown = "90s"
dry_run = true
continue = true
attribute_by = ["id", "label"]

[policy.match]
severity = "high"
rules = ["web_*"]
tags = ["attack.t1190"]
modules = ["log-pipeline"]
vulnerabilities = ["CVE-2021-*"]
containers = ["web-*"]
images = ["nginx:*"]
labels = ["tier=front*", "exposed"]

[policy.match.vulnerability]
severity = "medium"
kev = true
fixed = true
packages = ["pkg:npm/*"]

[policy.require]
alerts = 2
within = "10m"
distinct = "modules"
signs = 1
signs_within = "20m"
`

func TestEveryKeyIsRead(t *testing.T) {
	t.Parallel()
	set, err := policy.Load(folder(t, "a.toml", full))
	require.NoError(t, err)
	require.Len(t, set.Policies, 1)
	p := set.Policies[0]
	require.Equal(t, 2, p.Position.Line)
	p.Position = policy.Position{}
	require.Equal(t, &policy.Policy{
		ID: "web-attack", Name: "Answer web attacks", Description: "why", Enabled: true, Priority: 7,
		Actions: []policy.Kind{policy.Isolate, policy.BlockSource, policy.Notify},
		Steps:   []policy.Step{{Actions: []policy.Kind{policy.Isolate, policy.BlockSource, policy.Notify}}},
		TTL:     2 * time.Hour, BlockTTL: 7 * 24 * time.Hour, Widen: true, Cooldown: 90 * time.Second, DryRun: true, Continue: true,
		AttributeBy: []policy.AttributionMethod{policy.ByID, policy.ByLabel},
		Match: policy.Match{
			Severity: event.High, Rules: []string{"web_*"}, Tags: []string{"attack.t1190"}, Modules: []string{"log-pipeline"},
			Vulnerabilities: []string{"CVE-2021-*"}, Containers: []string{"web-*"}, Images: []string{"nginx:*"},
			Labels:        []string{"tier=front*", "exposed"},
			Vulnerability: policy.Vulnerability{Severity: event.Medium, KEV: true, Fixed: true, Packages: []string{"pkg:npm/*"}},
		},
		Require: policy.Require{Alerts: 2, Within: 10 * time.Minute, Modules: true, Signs: 1, SignsWithin: 20 * time.Minute},
	}, p)
}

func TestDefaultsOfAPolicy(t *testing.T) {
	t.Parallel()
	set, err := policy.Load(folder(t, "a.toml", "[[policy]]\nid = \"a\"\nactions = [\"pause\"]\nmatch = { severity = \"low\" }\n"))
	require.NoError(t, err)
	p := set.Policies[0]
	require.True(t, p.Enabled)
	require.False(t, p.DryRun)
	require.Equal(t, "a", p.Name)
	require.Equal(t, policy.DefaultAttribution(), p.AttributeBy)
	require.Zero(t, p.TTL, "a container stays isolated until an operator releases it")
	require.Equal(t, policy.DefaultCooldown, p.Cooldown)
	require.Equal(t, policy.DefaultBlockTTL, p.BlockTTL)
}

func TestUpstreamFormLoads(t *testing.T) {
	t.Parallel()
	set, err := policy.Load("testdata/upstream")
	require.NoError(t, err)
	var got []string
	for _, p := range set.Policies {
		got = append(got, fmt.Sprint(p.ID, " ", p.Enabled, " ", p.Priority, " ", p.Match.Severity, " ", p.Actions, " ", p.Match.Containers, p.Match.Images, p.Match.Labels))
	}
	require.Equal(t, []string{
		"cut-suspicious true 1 critical [disconnect] [suspicious-*] [] []",
		"pause-web true 10 high [pause] [web-*] [nginx:* httpd:*] []",
		"stop-database false 100 medium [stop] [] [postgres:*] [tier=data]",
	}, got)
	require.Len(t, set.Enabled(), 2)
	require.Len(t, set.Warnings, 1, "every network is cut, not only those listed")
	require.Contains(t, set.Warnings[0].String(), "disconnect.toml:14:")
}

func TestUpstreamFormIsStrict(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"p.toml:1:1: description: is missing",
		"p.toml:1:1: priority: is missing",
		`p.toml:4:22: severity_threshold: "Severe" is not allowed, must be one of info, low, medium, high, critical`,
		"p.toml:5:1: colour: unknown key, allowed are id, name, description, enabled, priority, severity_threshold, target_filter, action",
		"p.toml:7:1: target_filter.names: unknown key, allowed are container_names, image_patterns, labels",
		"p.toml:9:1: action.Reboot: is not an action, must be one of NetworkDisconnect = { networks = [...] }, Pause = [], Stop = []",
	}, problemList(t, `id = "a"
name = "a"
enabled = true
severity_threshold = "Severe"
colour = "red"
[target_filter]
names = ["x"]
[action]
Reboot = []
`))
}

func TestEveryMistakeIsReportedWithItsPosition(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		`p.toml:2:6: policy.id: "not an id" is not an id, must be 1 to 64 letters, digits, '.', '_' or '-'`,
		`p.toml:3:12: policy.actions: "explode" is not allowed, must be one of cut-egress, pause, disconnect, isolate, kill, stop, block-source, notify`,
		`p.toml:3:34: policy.actions: "pause" is listed twice`,
		"p.toml:4:12: policy.priority: is a string, must be a whole number",
		`p.toml:5:7: policy.ttl: "soon" is not allowed, must be a duration from 1s to 3650d such as "90s", "10m", "12h" or "7d"`,
		"p.toml:6:1: policy.colour: unknown key, allowed are id, description, enabled, priority, dry_run, continue, ttl, block_ttl, block_rate, widen, cooldown, attribute_by, name, approve, actions, step, match, require",
		`p.toml:8:12: policy.match.severity: "loud" is not allowed, must be one of info, low, medium, high, critical`,
		"p.toml:9:10: policy.match.rules: a pattern must not be empty",
		"p.toml:9:14: policy.match.rules: is a whole number, must be a string",
		`p.toml:10:11: policy.match.labels: "=x" is not a label, must be key or key=pattern`,
		`p.toml:12:12: policy.require.distinct: "hosts" is not allowed, must be one of rules, modules`,
		"p.toml:13:10: policy.require.alerts: \"0\" is out of range, must be 1 to 10",
		"p.toml:14:1: policy.actions: is missing",
	}, fromLineStart(problemList(t, `[[policy]]
id = "not an id"
actions = ["explode", "pause",   "pause"]
priority = "1"
ttl = "soon"
colour = 1
[policy.match]
severity = "loud"
rules = ["", 7]
labels = ["=x"]
[policy.require]
distinct = "hosts"
alerts = 0
[[policy]]
id = "b"
match = { severity = "low" }
`)))
}

// fromLineStart moves the position of the [[header]] in line 14 to the first bracket.
func fromLineStart(in []string) []string {
	for i, s := range in {
		in[i] = strings.Replace(s, "p.toml:14:3:", "p.toml:14:1:", 1)
	}
	return in
}

func TestContradictionsAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`actions = ["kill", "stop"]`:                      "exclude each other",
		"actions = [\"notify\"]\nttl = \"1h\"":            "there is none",
		"actions = [\"kill\"]\nttl = \"1h\"":              "nothing brings a killed container back",
		"actions = [\"pause\"]\nblock_ttl = \"1h\"":       "is for block-source",
		"actions = [\"pause\"]\nblock_rate = 10":          "is for block-source",
		`actions = []`:                                    "must not be empty",
		"actions = [\"pause\"]\nattribute_by = [\"ip\"]":  "must be one of id, pid, address, name, target, image, label",
		"actions = [\"pause\"]\n[policy.match]":           "is empty, so every alert would match",
		"actions = [\"pause\"]\nmatch.modules = [\"me\"]": "must be one of log-pipeline",
	} {
		if !strings.Contains(text, "match") {
			text += "\nmatch.severity = \"low\""
		}
		got := problemList(t, "[[policy]]\nid = \"a\"\n"+text+"\n")
		require.Contains(t, strings.Join(got, "\n"), want, text)
	}
}

func TestIDsMustBeUnique(t *testing.T) {
	t.Parallel()
	one := "[[policy]]\nid = \"a\"\nactions = [\"pause\"]\nmatch.severity = \"low\"\n"
	dir := folder(t, "1.toml", one, "2.toml", one)
	_, err := policy.Load(dir)
	require.ErrorContains(t, err, dir+"/2.toml:1:3: policy.id: \"a\" is also the id of the policy at "+dir+"/1.toml:1:3")
}

func TestOneMistakeRefusesTheWholeFolder(t *testing.T) {
	t.Parallel()
	set, err := policy.Load(folder(t, "good.toml", full, "bad.toml", "x = "))
	require.Nil(t, set)
	require.ErrorContains(t, err, "bad.toml:1:")
	require.ErrorContains(t, err, "syntax error")
}

func TestOrderIsByPriorityThenPosition(t *testing.T) {
	t.Parallel()
	p := func(id string, priority int) string {
		return fmt.Sprintf("[[policy]]\nid = %q\npriority = %d\nactions = [\"pause\"]\nmatch.rules = [\"x\"]\n", id, priority)
	}
	set, err := policy.Load(folder(t, "1.toml", p("late", 9)+p("second", 5), "2.toml", p("third", 5)+p("first", 1)))
	require.NoError(t, err)
	var ids []string
	for _, p := range set.Policies {
		ids = append(ids, p.ID)
	}
	require.Equal(t, []string{"first", "second", "third", "late"}, ids)
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	set, err := policy.Load(folder(t, "a.toml", `
[[policy]]
id = "all"
priority = 1
actions = ["pause"]
match.severity = "low"
[[policy]]
id = "never"
actions = ["kill"]
attribute_by = ["image"]
require.signs = 1
match = { severity = "high", rules = ["x"] }
`))
	require.NoError(t, err)
	text := fmt.Sprint(set.Warnings)
	require.Contains(t, text, `"never" is never reached`)
	require.Contains(t, text, "kills on a single alert")
	require.Contains(t, text, "policy.require.signs: acts on a single sign")
	require.Contains(t, text, "image may be shared")
}

func TestLoadRefusesFiles(t *testing.T) {
	t.Parallel()
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		_, err := policy.Load(filepath.Join(t.TempDir(), "none"))
		require.ErrorIs(t, err, fs.ErrNotExist)
	})
	t.Run("open to all", func(t *testing.T) {
		t.Parallel()
		dir := folder(t, "a.toml", full)
		require.NoError(t, os.Chmod(filepath.Join(dir, "a.toml"), 0o666))
		_, err := policy.Load(dir)
		require.ErrorContains(t, err, "may be written by everyone")
	})
	t.Run("link out of the folder", func(t *testing.T) {
		t.Parallel()
		outside, dir := folder(t, "a.toml", full), t.TempDir()
		require.NoError(t, os.Symlink(filepath.Join(outside, "a.toml"), filepath.Join(dir, "a.toml")))
		_, err := policy.Load(dir)
		require.ErrorContains(t, err, "cannot be read")
	})
	t.Run("link within the folder", func(t *testing.T) {
		t.Parallel()
		dir := folder(t, "a", full)
		require.NoError(t, os.Symlink("a", filepath.Join(dir, "a.toml")))
		set, err := policy.Load(dir)
		require.NoError(t, err)
		require.Len(t, set.Policies, 1)
	})
	t.Run("too large", func(t *testing.T) {
		t.Parallel()
		_, err := policy.Load(folder(t, "a.toml", strings.Repeat("#", 1<<20+1)))
		require.ErrorContains(t, err, "larger than")
	})
	t.Run("a single file", func(t *testing.T) {
		t.Parallel()
		set, err := policy.Load(filepath.Join(folder(t, "a.toml", full, "b.toml", "x = "), "a.toml"))
		require.NoError(t, err)
		require.Len(t, set.Policies, 1)
	})
	t.Run("an empty folder", func(t *testing.T) {
		t.Parallel()
		set, err := policy.Load(t.TempDir())
		require.NoError(t, err)
		require.Empty(t, set.Policies)
	})
}

func FuzzLoad(f *testing.F) {
	f.Add(full)
	for _, name := range []string{"disconnect", "pause", "stop"} {
		data, err := os.ReadFile("testdata/upstream/" + name + ".toml")
		require.NoError(f, err)
		f.Add(string(data))
	}
	f.Add("[[policy]]\n[policy.match]\n[policy.match.x]\n")
	f.Add("policy = [[], 1, {a.b = 1}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			return
		}
		set, err := policy.Decode("f.toml", []byte(text))
		if err == nil {
			for _, p := range set.Policies {
				require.NotEmpty(t, p.ID)
				require.NotEmpty(t, p.Actions)
			}
			return
		}
		var bad *policy.Error
		require.ErrorAs(t, err, &bad)
		lines := strings.Count(text, "\n") + 1
		for _, p := range bad.Problems {
			require.Equal(t, "f.toml", p.Position.File)
			require.NotEmpty(t, p.What)
			require.LessOrEqual(t, p.Position.Line, lines)
		}
	})
}

func TestTrustAndOriginOfAPolicy(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"p.toml:5:20: policy.match.trust: \"root\" is not allowed, must be one of kernel, host, container, peer, unproven",
		"p.toml:8:1: policy.match.origin.port: unknown key, allowed are transports, sources, peers, units",
	}, problemList(t, `[[policy]]
id = "a"
actions = ["block-source"]
[policy.match]
trust = ["kernel", "root"]
[policy.match.origin]
transports = ["file"]
port = 22
`))
}
