package match_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

// The table has the vectors that FIRST and others publish with their scores.
func TestPublishedScores(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("testdata/cvss.tsv")
	require.NoError(t, err)
	checked := 0
	for line := range strings.Lines(string(table)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(strings.TrimSpace(line), "\t")
		require.Len(t, fields, 4, line)
		score, err := strconv.ParseFloat(fields[1], 64)
		require.NoError(t, err)
		r := run(t, open(t, rated("A", fields[0])), pkg("npm", "p", "1.0.0"))
		require.Len(t, r.Findings, 1)
		f := r.Findings[0]
		require.InDelta(t, score, f.Score, 1e-9, line)
		require.Equal(t, fields[2], f.Severity.String(), line)
		require.Equal(t, fields[0], f.Vector)
		require.Equal(t, "A", f.From)
		require.False(t, f.Unknown)
		checked++
	}
	require.Equal(t, 49, checked)
}

func TestSeverityOfAFinding(t *testing.T) {
	t.Parallel()
	const v2, v31 = "AV:N/AC:L/Au:N/C:C/I:C/A:C", "CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N"
	const v4 = "CVSS:4.0/AV:N/AC:L/AT:P/PR:H/UI:A/VC:N/VI:L/VA:N/SC:N/SI:L/SA:N"
	everything := semver(`[{"introduced":"0"}]`)
	for name, c := range map[string]struct {
		records []string
		want    event.Severity
		from    string
	}{
		"newest version":                {[]string{rated("A", v2, v31, v4)}, event.Low, "A"},
		"version 3 before 2":            {[]string{rated("A", v2, v31)}, event.Low, "A"},
		"slash at the end":              {[]string{rated("A", v4+"/")}, event.Low, "A"},
		"version 2 in parentheses":      {[]string{rated("A", "("+v2+")")}, event.High, "A"},
		"worst of two advisories":       {[]string{rated("A", v31), rated("B", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")}, event.Critical, "B"},
		"vector before word":            {[]string{record("A", "npm", "p", everything, `"aliases":["CVE-1"]`, `"database_specific":{"severity":"CRITICAL"}`), rated("B", v31)}, event.Low, "B"},
		"damaged vector, word":          {[]string{record("A", "npm", "p", everything, `"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N"}]`, `"database_specific":{"severity":"moderate"}`)}, event.Medium, "A"},
		"entry before record":           {[]string{record("A", "npm", "p", everything+`,"severity":[{"type":"CVSS_V4","score":"`+v4+`"}]`, `"severity":[{"type":"CVSS_V4","score":"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H"}]`)}, event.Low, "A"},
		"Ubuntu priority":               {[]string{record("A", "npm", "p", everything, `"severity":[{"type":"Ubuntu","score":"negligible"}]`)}, event.Low, "A"},
		"Debian urgency":                {[]string{record("A", "npm", "p", everything+`,"ecosystem_specific":{"urgency":"high**"}`)}, event.High, "A"},
		"Red Hat":                       {[]string{record("A", "npm", "p", everything, `"database_specific":{"severity":"Important"}`)}, event.High, "A"},
		"borrowed from other ecosystem": {[]string{record("A", "npm", "p", everything, `"aliases":["CVE-1"]`), record("B", "Maven", "q", everything, `"aliases":["CVE-1"]`, `"database_specific":{"severity":"HIGH"}`)}, event.High, "B"},
		"own before borrowed":           {[]string{rated("A", v31), record("B", "Maven", "q", everything, `"aliases":["CVE-1"]`, `"severity":[{"type":"CVSS_V4","score":"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H"}]`)}, event.Low, "A"},
		"malicious package":             {[]string{record("MAL-1", "npm", "p", everything)}, event.Critical, "MAL-1"},
		"not withdrawn":                 {[]string{record("A", "npm", "p", everything, `"aliases":["CVE-1"]`), record("B", "Maven", "q", everything, `"aliases":["CVE-1"]`, `"withdrawn":"2021-01-01T00:00:00Z"`, `"database_specific":{"severity":"HIGH"}`)}, event.Medium, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, open(t, c.records...), pkg("npm", "p", "1.0.0"))
			require.Len(t, r.Findings, 1)
			require.Equal(t, c.want, r.Findings[0].Severity)
			require.Equal(t, c.from, r.Findings[0].From)
			require.Equal(t, c.from == "", r.Findings[0].Unknown)
		})
	}
}

// rated is an advisory about every version of p, an alias of CVE-1, with severities.
func rated(id string, vectors ...string) string {
	var all []string
	for _, v := range vectors {
		all = append(all, fmt.Sprintf(`{"type":"CVSS_V3","score":%q}`, v))
	}
	return record(id, "npm", "p", semver(`[{"introduced":"0"}]`), `"aliases":["CVE-1"]`, `"severity":[`+strings.Join(all, ",")+`]`)
}
