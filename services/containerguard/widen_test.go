package containerguard_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// evidence lets the packet engine of the test's host answer that each address it is asked about is proven.
func (r *rig) evidence(refused *atomic.Value) {
	r.t.Helper()
	var proven []netip.Addr
	stop, err := r.bus.Conn(bus.EBPFEngine).Serve(r.t.Context(), bus.ServiceConfig{
		Module: bus.EBPFEngine, Host: host, Verbs: map[string]bus.Verb{bus.VerbNetworkEvidence: func(_ context.Context, body []byte) (any, error) {
			var req bus.NetworkEvidenceRequest
			if err := json.Unmarshal(body, &req); err != nil {
				return nil, err
			}
			if !slices.Contains(proven, req.Address) {
				proven = append(proven, req.Address)
			}
			within := slices.DeleteFunc(slices.Clone(proven), func(a netip.Addr) bool { return !req.Network.Contains(a) })
			text, _ := refused.Load().(string)
			return bus.NetworkEvidence{Proven: within, Refused: text}, nil
		}},
	})
	require.NoError(r.t, err)
	r.t.Cleanup(stop)
}

// attack lets addresses attack in turn, waits until the last is blocked, and returns its alert.
func (r *rig) attack(addresses ...string) (last *event.Alert) {
	r.t.Helper()
	for _, ip := range addresses {
		last = r.alert(from(ip))
		r.publish(last)
		r.await(last, "block-source done")
	}
	return last
}

func (r *rig) network(a *event.Alert, phase event.Phase) (found event.Action, ok bool) {
	r.t.Helper()
	for _, action := range r.actions() {
		if action.AlertID == a.ID && action.Phase == phase && action.Target == "network:2001:db8::/64" {
			return action, true
		}
	}
	return event.Action{}, false
}

func TestThreeProvenAddressesBlockTheirNetwork(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`, `block_ttl = "6h"`)
	r.start()
	var refused atomic.Value
	r.evidence(&refused)
	r.attack("2001:db8::1", "2001:db8:0:1::2", "2001:db8::2", "203.0.113.1", "203.0.113.2", "203.0.113.3")
	refused.Store("there are customers")
	third := r.attack("2001:db8::3")
	var skipped event.Action
	require.Eventually(t, func() (ok bool) { skipped, ok = r.network(third, event.Skipped); return ok }, patience, tick)
	require.Equal(t, "not widened: there are customers", skipped.Reason)
	require.NotContains(t, r.blocked(), "2001:db8::/64")

	refused.Store("")
	fourth := r.attack("2001:db8::4")
	var done event.Action
	require.Eventually(t, func() (ok bool) { done, ok = r.network(fourth, event.Done); return ok }, patience, tick)
	require.Equal(t, "ironpost blocklist del 2001:db8::/64", done.Undo)
	require.Contains(t, done.Reason, "4 of its addresses are blocked, and none is forged")
	require.WithinDuration(t, time.Now().Add(time.Hour), *done.ExpiresAt, time.Minute, "an hour, whatever the policy says")
	require.Contains(t, r.blocked(), "2001:db8::/64")

	list, err := r.bus.Conn(bus.Daemon).Blocklist(t.Context())
	require.NoError(t, err)
	require.NoError(t, list.Remove(t.Context(), netip.MustParsePrefix("2001:db8::/64")))
	r.attack("2001:db8::5")
	r.attack("2001:db8:0:2::1") // answered after the fifth, whose network stays as the operator wants it
	for _, prefix := range r.blocked() {
		parsed := netip.MustParsePrefix(prefix)
		require.True(t, parsed.IsSingleIP(), prefix)
	}
}

func TestNetworksAreNotBlockedWithoutReason(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]struct {
		policy []string
		config func(*rig)
		engine bool
	}{
		"without a packet engine":     {},
		"a policy that does not want": {policy: []string{"widen = false"}, engine: true},
		"never_block":                 {engine: true, config: func(r *rig) { r.cfg.NeverBlock = []string{"2001:db8::1:0/112"} }},
		"a dependency":                {engine: true, config: func(r *rig) { r.dependsOn = []string{"[2001:db8::99]:5432"} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if set.config != nil {
				set.config(r)
			}
			r.policy("p", append([]string{`actions = ["block-source"]`}, set.policy...)...)
			if set.engine {
				r.evidence(&atomic.Value{})
			}
			s := r.start()
			r.attack("2001:db8::1", "2001:db8::2", "2001:db8::3")
			require.NoError(t, s.stop()) // answers what was delivered
			require.Len(t, r.blocked(), 3)
		})
	}
}
