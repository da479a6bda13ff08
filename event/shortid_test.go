package event_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

func TestShortID(t *testing.T) {
	t.Parallel()
	id := event.ID("an alert")
	short := event.ShortID(id)
	require.Len(t, short, 8)
	require.Equal(t, "aaaqeaye", event.ShortID("000102030405060708090a0b0c0d0e0f"))
	require.Equal(t, "door-7", event.ShortID("door-7"))
	for _, prefix := range []string{short, short[:4], id, id[:6]} {
		require.True(t, event.HasIDPrefix(id, prefix), prefix)
		found := false
		for _, r := range event.IDRanges(prefix) {
			found = found || r[0] <= id && id <= r[1]
		}
		require.True(t, found, prefix)
	}
	require.False(t, event.HasIDPrefix(id, ""))
	require.False(t, event.HasIDPrefix(id, "zz"))
	require.True(t, event.HasIDPrefix("Door-7", "door"))
	require.Empty(t, event.IDRanges("1!"))
}
