package match

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// Whatever advisories and packages say, matching ends, does not panic, and says something about every advisory that applies.
func FuzzMatch(f *testing.F) {
	for _, seed := range []struct{ ecosystem, version, advisories string }{
		{"npm", "1.2.3", `[{"id":"A","affected":[{"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.2.4"}]}]}]}]`},
		{"PyPI", "1.0.post1.dev2", `[{"id":"A","aliases":["CVE-1"],"affected":[{"ranges":[{"type":"GIT"},{"type":"ECOSYSTEM","events":[{"introduced":"1!0"},{"last_affected":"2004d"}]}],"versions":["1.0"]}]}]`},
		{"Debian:12", "1:2.0-3~deb12u1", `[{"id":"DSA-1","upstream":["CVE-1","CVE-2"],"severity":[{"type":"CVSS_V4","score":"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H"}],"affected":[{"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"limit":"2"}]}]}]}]`},
		{"Maven", "2.0-alpha-1", `[{"id":"A","affected":[{"severity":[{"score":"AV:N/AC:L/Au:N/C:C/I:C/A:C"}],"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"1"},{"fixed":"2"},{"introduced":"2"}]}]}]}]`},
		{"Alpine:v3.20", "1.2.3_rc1-r0", `[{"id":"A","rating":"HIGH","affected":[{"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.2.3-r0"}]}]}]}]`},
		{"Red Hat:enterprise_linux:9::baseos", "0:1-2.el9", `[{"id":"A","affected":[{"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"0:1-3.el9"}]}]}]},{"id":"A"},null]`},
		{"Go", "go1.22rc1", `[{"id":"GO-1","affected":[{"ranges":[{"type":"SEMVER","events":[{"introduced":"1.22.0-0"}]}]}]}]`},
	} {
		f.Add(seed.ecosystem, "stdlib", seed.version, seed.advisories)
	}
	store, err := advisory.Open(f.TempDir())
	require.NoError(f, err)
	m := New(store, Options{})
	f.Fuzz(func(t *testing.T, ecosystem, name, version, text string) {
		var candidates []*advisory.Advisory
		if json.Unmarshal([]byte(text), &candidates) != nil {
			return
		}
		p := &inventory.Package{PURL: "pkg:x/p", Name: name, Version: version, Ecosystem: ecosystem}
		s := newSubject(p)
		usable := candidates[:0]
		for _, a := range candidates {
			if a == nil || slices.Contains(slices.Concat(a.Aliases, a.Upstream, []string{a.ID}), "") {
				continue // the importer refuses it
			}
			for i := range a.Affected {
				a.Affected[i].Ecosystem, a.Affected[i].Name = ecosystem, name
			}
			usable = append(usable, a)
		}
		pass := m.newPass(nil)
		hits, _ := s.hits(pass.reader, usable)
		require.NoError(t, pass.report(p, &s, hits))
		require.Equal(t, len(hits) > 0, len(pass.result.Findings) > 0)
		for _, f := range pass.result.Findings {
			require.NotEmpty(t, f.ID)
			require.NotEmpty(t, f.IDs)
			require.True(t, f.Reaches(event.Info))
			require.True(t, f.Score >= 0 && f.Score <= 10, f.Score)
			require.LessOrEqual(t, len(f.Fixed), maxFixes)
			require.NotContains(t, f.Fixed, version)
		}
	})
}
