package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/containerguard/policy"
)

func TestStepsAreRead(t *testing.T) {
	t.Parallel()
	set, err := policy.Load(folder(t, "p.toml", `[[policy]]
id = "graded"
ttl = "4h"
match.severity = "high"
[[policy.step]]
actions = ["block-source", "cut-egress", "notify"]
[[policy.step]]
actions = ["pause"]
after = "30s"
[[policy.step]]
actions = ["kill"]
approve = true
[[policy]]
id = "asks"
approve = true
actions = ["isolate", "notify"]
match.severity = "high"
`))
	require.ErrorContains(t, err, "nothing brings a killed container back")
	require.Nil(t, set)

	set, err = policy.Load(folder(t, "p.toml", `[[policy]]
id = "graded"
match.severity = "high"
[[policy.step]]
actions = ["block-source", "cut-egress", "notify"]
[[policy.step]]
actions = ["pause"]
after = "30s"
signs = 1
[[policy.step]]
actions = ["isolate"]
after = "1m"
[[policy.step]]
actions = ["kill"]
approve = true
[[policy]]
id = "asks"
approve = true
actions = ["isolate", "notify"]
match.tags = ["attack.t1505"]
`))
	require.NoError(t, err)
	require.Empty(t, set.Mistakes)
	p := set.Policies[0]
	require.Equal(t, []policy.Kind{policy.BlockSource, policy.CutEgress, policy.Notify, policy.Pause, policy.Isolate, policy.Kill}, p.Actions)
	for kind, want := range map[policy.Kind]time.Duration{
		policy.CutEgress: 0, policy.Pause: 30 * time.Second, policy.Isolate: 90 * time.Second, policy.Kill: 90 * time.Second,
	} {
		n, after := p.StepOf(kind)
		require.Equal(t, want, after, kind)
		require.Contains(t, p.Steps[n].Actions, kind)
		require.Equal(t, kind == policy.Kill, p.Steps[n].Approve, kind)
	}
	require.Equal(t, 1, p.SignsFor(policy.Pause))
	require.Equal(t, 2, p.SignsFor(policy.Isolate), "as the policy says")
	require.True(t, set.Policies[1].Steps[0].Approve)
}

func TestMistakesInStepsAreReportedWithTheirPosition(t *testing.T) {
	t.Parallel()
	dir := folder(t, "p.toml", `[[policy]]
id = "a"
actions = ["pause"]
match.severity = "high"
[[policy.step]]
actions = ["isolate"]
after = "0s"
[[policy.step]]
actions = ["isolate"]
after = "2h"
approve = true
[[policy.step]]
actions = ["notify"]
approve = true
signs = 1
colour = "red"
[[policy]]
id = "b"
step = ["isolate"]
match.severity = "high"
[[policy]]
id = "c"
step = []
match.severity = "high"
`)
	_, err := policy.Load(dir)
	bad := &policy.Error{}
	require.ErrorAs(t, err, &bad)
	var got []string
	for _, p := range bad.Problems {
		got = append(got, strings.TrimPrefix(p.String(), dir+"/"))
	}
	require.Equal(t, []string{
		`p.toml:3:11: policy.actions: and [[policy.step]] exclude each other: move the actions to the first step`,
		`p.toml:7:9: policy.step.after: "0s" is not allowed, must be a duration from 1s to 3650d such as "90s", "10m", "12h" or "7d"`,
		`p.toml:9:11: policy.step.actions: isolate is in an earlier step`,
		`p.toml:10:9: policy.step.after: must be 1h0m0s at most`,
		`p.toml:10:9: policy.step.after: and approve exclude each other: what an operator approves is done at once`,
		`p.toml:14:11: policy.step.approve: is for actions on a container, and there is none in the step`,
		`p.toml:15:9: policy.step.signs: and approve exclude each other: an operator decides`,
		`p.toml:15:9: policy.step.signs: is for pause, disconnect, isolate, stop and kill, and there is none in the step`,
		`p.toml:16:1: policy.step.colour: unknown key, allowed are actions, after, approve, signs`,
		`p.toml:19:9: policy.step: is a string, must be a section [[policy.step]]`,
		`p.toml:23:8: policy.step: must not be empty`,
	}, got)
}

func TestStepsWithoutEffectAreMistakes(t *testing.T) {
	t.Parallel()
	dir := folder(t, "p.toml", `[[policy]]
id = "a"
ttl = "10m"
match.severity = "high"
[[policy.step]]
actions = ["isolate"]
[[policy.step]]
actions = ["cut-egress"]
after = "10m"
[[policy.step]]
actions = ["notify"]
`)
	set, err := policy.Load(dir)
	require.NoError(t, err)
	var got []string
	for _, p := range set.Mistakes {
		got = append(got, strings.TrimPrefix(p.String(), dir+"/"))
	}
	require.Equal(t, []string{
		`p.toml:3:7: policy.ttl: ends before the last step, 10m0s after the alert: the container is released then`,
		`p.toml:8:11: policy.step.actions: is weaker than an earlier step, so it changes nothing: steps go from block-source over cut-egress, pause and isolate to kill`,
		`p.toml:10:10: policy.step: is done together with the step before: join them, or write after, approve or signs`,
	}, got)
}
