package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

func TestMatchesAlert(t *testing.T) {
	t.Parallel()
	a := &event.Alert{
		Severity: event.High, Module: "log-pipeline",
		Rule:          event.Rule{ID: "web_sql_injection", Title: "SQL injection", Tags: []string{"attack.t1190", "attack.initial-access"}},
		Vulnerability: &event.Vulnerability{ID: "GHSA-1", Aliases: []string{"CVE-2021-44228"}},
		Trust:         event.TrustUnproven, Origin: &event.Origin{Transport: "syslog_udp", Peer: "127.0.0.1:40000"},
	}
	for why, m := range map[string]policy.Match{
		"":                             {Severity: event.High},
		"severity high is below":       {Severity: event.Critical},
		"rule does not match":          {Rules: []string{"ssh_*"}},
		"no tag matches":               {Tags: []string{"attack.t9"}},
		"alert is of module":           {Modules: []string{"sbom-scanner"}},
		"trust of the alert is":        {Trust: []event.Trust{event.TrustKernel, event.TrustHost}},
		"origin does not match":        {Origin: policy.Origin{Transports: []string{"syslog_*"}, Peers: []string{"192.0.2.*"}}},
		"vulnerability does not match": {Vulnerabilities: []string{"CVE-2020-*"}},
	} {
		ok, got := m.MatchesAlert(a)
		require.Equal(t, why == "", ok)
		require.Contains(t, got, why)
	}
	for _, m := range []policy.Match{
		{Rules: []string{"web_*"}},
		{Rules: []string{"SQL*"}},
		{Tags: []string{"x", "attack.t1190"}},
		{Vulnerabilities: []string{"CVE-2021-44228"}},
		{Trust: []event.Trust{event.TrustPeer, event.TrustUnproven}, Origin: policy.Origin{Transports: []string{"file", "syslog_udp"}, Peers: []string{"127.*"}}},
	} {
		ok, why := m.MatchesAlert(a)
		require.True(t, ok, why)
	}
	a.Vulnerability, a.Rule.Tags, a.Origin = nil, nil, nil
	none, _ := policy.Match{Origin: policy.Origin{Units: []string{"ssh.service"}}}.MatchesAlert(a)
	require.False(t, none, "an alert without an origin")
	ok, _ := policy.Match{Vulnerabilities: []string{"*"}}.MatchesAlert(a)
	require.False(t, ok, "an alert without an advisory matches no pattern for one")
	ok, _ = policy.Match{Tags: []string{"*"}}.MatchesAlert(a)
	require.False(t, ok)
}

func TestMatchesVulnerability(t *testing.T) {
	t.Parallel()
	digest := &event.Alert{Module: "sbom-scanner", Findings: []event.Finding{
		{ID: "CVE-2024-1", PURL: "pkg:npm/a@1", Severity: event.Critical},
		{ID: "CVE-2024-2", Aliases: []string{"GHSA-2"}, PURL: "pkg:deb/debian/b@2", Severity: event.Medium, KEV: true, Fixed: "3"},
	}}
	single := &event.Alert{
		Vulnerability: &event.Vulnerability{ID: "CVE-2024-2", Aliases: []string{"GHSA-2"}, Severity: event.Medium, KEV: true, Fixed: "3"},
		Findings:      digest.Findings[1:],
	}
	for _, a := range []*event.Alert{digest, single} {
		for _, m := range []policy.Match{
			{Vulnerabilities: []string{"GHSA-*"}},
			{Vulnerability: policy.Vulnerability{KEV: true, Fixed: true, Severity: event.Medium, Packages: []string{"pkg:deb/*"}}},
			{Vulnerabilities: []string{"CVE-2024-2"}, Vulnerability: policy.Vulnerability{KEV: true}},
		} {
			ok, why := m.MatchesAlert(a)
			require.True(t, ok, why)
		}
		for _, m := range []policy.Match{
			{Vulnerability: policy.Vulnerability{KEV: true, Severity: event.High}},
			{Vulnerabilities: []string{"CVE-2024-1"}, Vulnerability: policy.Vulnerability{KEV: true}},
			{Vulnerability: policy.Vulnerability{KEV: true, Packages: []string{"pkg:npm/*"}}},
		} {
			ok, why := m.MatchesAlert(a)
			require.False(t, ok, "the conditions hold for different vulnerabilities")
			require.Equal(t, "vulnerability does not match", why)
		}
	}
	ok, _ := policy.Match{Vulnerability: policy.Vulnerability{Fixed: true}}.MatchesAlert(&event.Alert{})
	require.False(t, ok)
}

func TestMatchesContainer(t *testing.T) {
	t.Parallel()
	c := policy.Container{Name: "web-1", Image: "nginx:1.25", Labels: map[string]string{"tier": "frontend", "empty": ""}}
	for _, m := range []policy.Match{
		{},
		{Containers: []string{"db-*", "web-*"}},
		{Images: []string{"nginx:*"}},
		{Labels: []string{"tier=front*"}},
		{Labels: []string{"empty"}},
		{Containers: []string{"web-*"}, Images: []string{"nginx:*"}, Labels: []string{"tier"}},
	} {
		ok, why := m.MatchesContainer(c)
		require.True(t, ok, "%+v: %s", m, why)
	}
	for _, m := range []policy.Match{
		{Containers: []string{"web"}},
		{Images: []string{"nginx"}},
		{Labels: []string{"tier=back*", "absent"}},
		{Containers: []string{"web-*"}, Images: []string{"httpd:*"}},
	} {
		ok, _ := m.MatchesContainer(c)
		require.False(t, ok, "%+v", m)
	}
}
