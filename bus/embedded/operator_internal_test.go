package embedded

import (
	"os/user"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOperatorPolicy(t *testing.T) {
	t.Parallel()
	policy := operatorPolicy{uid: 1000, gid: 50}
	for name, tc := range map[string]struct {
		peer peer
		in   bool
	}{
		"root":           {peer{uid: 0, gid: 7}, true},
		"our own user":   {peer{uid: 1000, gid: 7}, true},
		"primary group":  {peer{uid: 7, gid: 50}, true},
		"another group":  {peer{uid: 7, gid: 7, groups: []int{8, 50}}, true},
		"another user":   {peer{uid: 7, gid: 7, groups: []int{8}}, false},
		"group of root":  {peer{uid: 7, gid: 0, groups: []int{0}}, false},
		"negative group": {peer{uid: 7, gid: noGroup, groups: []int{noGroup}}, false},
	} {
		require.Equal(t, tc.in, policy.allows(tc.peer), name)
	}
	noGroupPolicy := operatorPolicy{uid: 1000, gid: noGroup}
	require.False(t, noGroupPolicy.allows(peer{uid: 7, gid: noGroup, groups: []int{noGroup}}), "no group has no members")
}

func TestLookupGroup(t *testing.T) {
	t.Parallel()
	require.Equal(t, noGroup, lookupGroup("no-such-group-here"))
	require.Equal(t, noGroup, lookupGroup(""))
	require.Equal(t, 4711, lookupGroup("4711"))
	me, err := user.Current()
	require.NoError(t, err)
	group, err := user.LookupGroupId(me.Gid)
	require.NoError(t, err)
	require.Equal(t, me.Gid, strconv.Itoa(lookupGroup(group.Name)))
}
