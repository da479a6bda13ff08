package containerguard_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/rules"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// logRules returns the shipped rules on lines, those on requests to web servers first.
func logRules(t *testing.T) (all []event.Rule, web int) {
	t.Helper()
	names, err := fs.Glob(rules.FS, "*.yml")
	require.NoError(t, err)
	for _, name := range names {
		data, err := rules.FS.ReadFile(name)
		require.NoError(t, err)
		var rule struct {
			ID, Title string
			Tags      []string
			Logsource struct{ Category string }
		}
		require.NoError(t, yaml.Unmarshal(data, &rule), name)
		out := event.Rule{ID: rule.ID, Title: rule.Title, Level: event.High, Tags: rule.Tags}
		switch {
		case rule.Logsource.Category == "webserver":
			all, web = append([]event.Rule{out}, all...), web+1
		case !strings.HasPrefix(name, "net_"):
			all = append(all, out)
		}
	}
	require.Greater(t, web, 2)
	return all, web
}

// One request to a container stops it by none of the shipped policies, whatever rule it matches and whatever the server answers, nor do 20 requests from
// 5 addresses that match 10 rules.
func TestRequestsStopNoContainerByShippedPolicies(t *testing.T) {
	t.Parallel()
	all, web := logRules(t)
	for _, file := range []string{"policies/web-attack.toml", "policies/network-attack.toml", "policies/brute-force.toml", "compose/web-attack.toml"} {
		text, err := os.ReadFile("../../deploy/" + file)
		require.NoError(t, err)
		one := func(i int, rule event.Rule, status int) func(*event.Alert) {
			return func(a *event.Alert) {
				webShell(strings.Repeat("ab", 32), fmt.Sprint("203.0.113.", i%5), fmt.Sprint("/uploads/", i, ".php"))(a)
				a.Rule, a.Request.Status = rule, status
			}
		}
		stopped := func(alerts ...func(*event.Alert)) bool {
			s, add := simulation(t, string(text), nil)
			for i, a := range alerts {
				add(time.Duration(i)*time.Second, a)
			}
			return slices.ContainsFunc(s.Result().Steps, func(st containerguard.SimulatedStep) bool {
				return policy.Kind(st.Action).OnContainer() && st.Outcome == containerguard.SimulatedAct
			})
		}
		var twenty []func(*event.Alert)
		for i := range 20 {
			twenty = append(twenty, one(i, all[i%10], 200))
		}
		require.False(t, stopped(twenty...), file)
		for _, rule := range all[:web] {
			for _, status := range []int{200, 302, 404, 500} {
				require.False(t, stopped(one(0, rule, status)), "%s: %s", file, rule.Title)
			}
		}
	}
}

// copyShipped puts the shipped policies in force.
func (r *rig) copyShipped() {
	r.t.Helper()
	files, err := filepath.Glob("../../deploy/policies/*.toml")
	require.NoError(r.t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(r.t, err)
		require.NoError(r.t, os.WriteFile(filepath.Join(r.cfg.PolicyPath, filepath.Base(file)), text, 0o600))
	}
}
