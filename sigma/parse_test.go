package sigma_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/sigma"
)

const whole = `title: Whole
id: 929A690E-bef0-4204-a928-ef5e620d6fcc
name: whole_rule
related:
  - {id: 08fbc97d-0a2f-491c-ae21-8ffcfd3174e9, type: derived}
taxonomy: sigma
status: test
description: All of it.
license: MIT
author: A
references: [https://example.org/]
date: 2024-01-31
modified: "2024-02-01"
logsource: {category: C, product: p, service: s, definition: prose, extra: 1}
detection: {sel: {a: b}, condition: sel}
fields: [a]
falsepositives: none known
level: high
tags: [attack.t1110, cve.2024-1]
scope: [server]
custom: {anything: [goes, 1]}
`

func TestParseReadsAllAttributes(t *testing.T) {
	t.Parallel()
	docs, err := sigma.Parse("dir/whole.yml", []byte("---\n"+whole))
	require.NoError(t, err)
	require.Len(t, docs, 1)
	got := docs[0].Rule
	require.Equal(t, sigma.Logsource{Category: "c", Product: "p", Service: "s"}, got.Logsource)
	require.Equal(t, sigma.Meta{
		ID: "929a690e-bef0-4204-a928-ef5e620d6fcc", Title: "Whole", Name: "whole_rule", Taxonomy: "sigma",
		Status: "test", Level: "high", Description: "All of it.", License: "MIT", Author: "A",
		Date: "2024-01-31", Modified: "2024-02-01", Tags: []string{"attack.t1110", "cve.2024-1"},
		References: []string{"https://example.org/"}, FalsePositives: []string{"none known"},
		Fields: []string{"a"}, Scope: []string{"server"},
		Related: []sigma.Related{{ID: "08fbc97d-0a2f-491c-ae21-8ffcfd3174e9", Type: "derived"}},
		Source:  sigma.Source{File: "dir/whole.yml", Line: 2, Column: 1},
	}, got.Meta)
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, old, new, want string }{
		{"no title", "title: Whole\n", "", "f.yml:1:1: title is missing"},
		{"empty title", "title: Whole", "title: ' '", "f.yml:1:8: title is empty"},
		{"title of a number", "title: Whole", "title: 5", "title must be a string, not the number 5"},
		{"long title", "title: Whole", "title: " + strings.Repeat("x", 257), "title is 257 bytes long, allowed are 256"},
		{"id", "929A690E-", "929A690E", "f.yml:2:5: id "},
		{"status", "status: test", "status: good", `f.yml:7:9: status "good" is none of stable, test, experimental, deprecated, unsupported`},
		{"level", "level: high", "level: urgent", `level "urgent" is none of informational, low, medium, high, critical`},
		{"date", "date: 2024-01-31", "date: 2024/01/31", "must be a date YYYY-MM-DD"},
		{"modified", `"2024-02-01"`, `"2024-02-41"`, "must be a date YYYY-MM-DD"},
		{"tag", "cve.2024-1", "CVE", "tag \"CVE\" must be namespace.name"},
		{"tag twice", "cve.2024-1", "attack.t1110", "holds \"attack.t1110\" twice"},
		{"references", "[https://example.org/]", "x", "references must be a list of strings, not a string"},
		{"related id", "id: 08fbc97d-", "id: 08", "must be a UUID"},
		{"related type", "type: derived", "type: cousin", "is none of derived"},
		{"related shape", "{id: 08fbc97d-0a2f-491c-ae21-8ffcfd3174e9, type: derived}", "x", "must be a map"},
		{"no logsource", "logsource:", "logsauce:", "logsource is missing"},
		{"empty logsource", "{category: C, product: p, service: s, definition: prose, extra: 1}", "{definition: x}", "logsource is empty"},
		{"logsource type", "product: p", "product: 5", "product must be a string"},
		{"no detection", "detection:", "detections:", "detection is missing"},
		{"detection type", "detection: {sel: {a: b}, condition: sel}", "detection: x", "detection must be a map"},
		{"no condition", ", condition: sel", "", "condition is missing in detection"},
		{"no search", "sel: {a: b}, condition", "condition", "detection has no search identifier"},
		{"scalar search", "sel: {a: b}", "sel: x", "search identifier sel must be a map of fields or a list, not a string"},
		{"empty search", "sel: {a: b}", "sel: {}", "search identifier sel is empty"},
		{"empty list", "sel: {a: b}", "sel: []", "search identifier sel is empty"},
		{"timeframe", "sel: {a: b}", "sel: {a: b}, timeframe: 5m", "timeframe was removed in Sigma 2"},
		{"key twice", "status: test", "status: test\nstatus: test", `f.yml:8:1: duplicate key "status", first in line 7`},
		{"field twice", "{a: b}", "{a: b, a: c}", `duplicate key "a"`},
		{"merge key", "{a: b}", "{<<: {a: b}}", "merge keys"},
		{"alias", "author: A", "author: &x A\nfoo: *x", "anchors and aliases are not allowed"},
		{"depth", "{anything: [goes, 1]}", strings.Repeat("[", 40) + strings.Repeat("]", 40), "nested deeper than 32 levels"},
		{"action", "title: Whole", "title: Whole\naction: global", "action (global, repeat, reset) was removed"},
		{"fields of a number", "fields: [a]", "fields: 5", "fields must be a list of strings, not the number 5"},
		{"falsepositives of a map", "falsepositives: none known", "falsepositives: {a: b}", "falsepositives must be a list of strings, not a map"},
		{"falsepositives null", "falsepositives: none known", "falsepositives: null", "falsepositives must be a string, not null"},
		{"scope of a boolean", "scope: [server]", "scope: true", "scope must be a list of strings, not the boolean true"},
		{"taxonomy null", "taxonomy: sigma", "taxonomy: null", "taxonomy must be a string, not null"},
		{"related needs a type", ", type: derived", "", "needs id and type"},
		{"custom tag", "author: A", "author: !x A", "the tag !x is not allowed"},
		{"key of a list", "author: A", "? [author]\n: A", "a key must be a plain scalar"},
		{"not YAML", "status: test", "status: [test", "is not YAML"},
		{"not a map", whole, "- a\n", "a document must be a map, not a list"},
		{"nothing", whole, "# nothing\n", "contains no document"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(whole, tt.old, tt.new, 1)
			require.NotEqual(t, whole, text)
			docs, err := sigma.Parse("f.yml", []byte(text))
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, docs)
			var problem *sigma.ParseError
			require.ErrorAs(t, err, &problem)
			require.Positive(t, problem.Line)
			require.Positive(t, problem.Column)
		})
	}
}

func TestParseReportsAllProblems(t *testing.T) {
	t.Parallel()
	_, err := sigma.Parse("f.yml", []byte("title: 5\nlevel: x\nlogsource: {}\ndetection: {}\n---\nstatus: y\n"))
	for _, line := range []string{":1:8:", ":2:8:", ":3:12:", ":4:12:", ":6:9:"} {
		require.ErrorContains(t, err, "f.yml"+line)
	}
}

func TestParseBounds(t *testing.T) {
	t.Parallel()
	_, err := sigma.Parse("f.yml", []byte(strings.Repeat("#", sigma.MaxFileSize+1)))
	require.ErrorContains(t, err, "allowed are 1048576")
	_, err = sigma.Parse("f.yml", []byte(strings.Repeat("---\na: b\n", sigma.MaxDocuments+1)))
	require.ErrorContains(t, err, "more than 1000 documents")
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
	_, err = sigma.Parse("f.yml", []byte(bomb))
	require.ErrorContains(t, err, "anchors and aliases")
}

func TestCompileRefusesDuplicates(t *testing.T) {
	t.Parallel()
	docs, err := sigma.Parse("f.yml", []byte(whole+"---\n"+whole))
	require.NoError(t, err)
	_, err = sigma.Compile(docs, sigma.Options{})
	require.ErrorContains(t, err, `f.yml:23:1: "929a690e-bef0-4204-a928-ef5e620d6fcc" is already used by "Whole" in f.yml:1:1`)
	require.ErrorContains(t, err, `f.yml:23:1: "whole_rule" is already used`)
}

const filterText = `---
title: Filter
logsource: {product: p}
filter:
  rules: [whole_rule]
  sel: {user: adm}
  condition: not sel
`

func TestFilters(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"by name": filterText,
		"by id":   strings.Replace(filterText, "whole_rule", "929a690e-bef0-4204-a928-ef5e620d6fcc", 1),
		"any":     strings.Replace(filterText, "[whole_rule]", "any", 1),
	} {
		rs := compile(t, whole+text, sigma.Options{})
		require.Len(t, rs.Match(sigma.Event{Fields: sigma.FieldsOf(fields{"a": "b", "user": "bob"})}), 1, name)
		require.Empty(t, rs.Match(sigma.Event{Fields: sigma.FieldsOf(fields{"a": "b", "user": "adm"})}), name)
		require.Len(t, rs.Rules(), 1, name)
	}
	elsewhere := strings.Replace(strings.Replace(filterText, "[whole_rule]", "any", 1), "{product: p}", "{product: q}", 1)
	rs := compile(t, whole+elsewhere, sigma.Options{})
	require.Len(t, rs.Match(sigma.Event{Fields: sigma.FieldsOf(fields{"a": "b", "user": "adm"})}), 1)

	for want, text := range map[string]string{
		`there is no rule with the id or name "unknown"`:      strings.Replace(filterText, "whole_rule", "unknown", 1),
		"filters apply to detection rules only":               strings.Replace(filterText, "whole_rule", "x1", 1) + "---\n" + strings.TrimPrefix(correlated(countOfA), "---\n"),
		"\"f1\" is a filter: correlations refer to":           strings.Replace(filterText, "title: Filter", "title: Filter\nname: f1", 1) + "---\n" + correlated(strings.Replace(countOfA, "[a]", "[f1]", 1)),
		"the logsource of this filter conflicts with that of": strings.Replace(filterText, "{product: p}", "{product: q}", 1),
	} {
		docs, err := sigma.Parse("f.yml", []byte(whole+text))
		require.NoError(t, err)
		_, err = sigma.Compile(docs, sigma.Options{})
		require.ErrorContains(t, err, want)
	}
	_, err := sigma.Parse("f.yml", []byte(strings.Replace(filterText, "  rules: [whole_rule]\n", "", 1)))
	require.ErrorContains(t, err, "rules is missing in filter")
}
