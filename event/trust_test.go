package event_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

func TestTrustIsLoweredToItsCeiling(t *testing.T) {
	t.Parallel()
	order := event.Trusts()
	require.Equal(t, event.TrustKernel, order[0])
	for i, strong := range order {
		require.Equal(t, strong, event.TrustOfRank(strong.Rank()))
		for _, weak := range order[i:] {
			require.Equal(t, weak, strong.AtMost(weak))
			require.Equal(t, weak, weak.AtMost(strong))
		}
	}
	for _, unknown := range []event.Trust{"", "root", "Kernel"} {
		require.Equal(t, event.TrustUnproven, unknown.AtMost(event.TrustKernel))
		require.Equal(t, event.TrustUnproven, event.TrustKernel.AtMost(unknown))
	}
	require.Equal(t, event.TrustUnproven, event.TrustOfRank(99))
}

// A record of a version that knew no trust has what that version proved.
func TestTrustOfEarlierRecords(t *testing.T) {
	t.Parallel()
	require.Equal(t, event.TrustUnproven, (&event.Alert{}).ClaimedTrust())
	require.Equal(t, event.TrustUnproven, (&event.Alert{Container: &event.Container{Name: "web"}}).ClaimedTrust())
	require.Equal(t, event.TrustContainer, (&event.Alert{Container: &event.Container{ID: "4f6c1b2a9d3e"}}).ClaimedTrust())
	require.Equal(t, event.TrustKernel, (&event.Alert{Series: "1"}).ClaimedTrust())
	require.Equal(t, event.TrustPeer, (&event.Alert{Series: "1", Trust: event.TrustPeer}).ClaimedTrust())
}
