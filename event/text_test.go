package event_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

func TestIDFollowsFromItsPartsAlone(t *testing.T) {
	require.Len(t, event.ID("a"), 32)
	require.NotEqual(t, event.ID("a", "bc"), event.ID("ab", "c"))
	require.NotEqual(t, event.ID("a"), event.ID("a", ""))
	// A fixed value: ids must not change from version to version.
	require.Equal(t, "305109f3eac4247a92ee64e7230a3ae9", event.ID("machine", "file:/var/log/auth.log"))
}

func TestPrintableIsOneVisibleLine(t *testing.T) {
	require.Equal(t, "naïve 世界", event.Printable("naïve 世界", 100))
	require.Equal(t, "a?b?c?d?e", event.Printable("a\nb\x1bc\u202ed\xffe", 100))
	require.Equal(t, "na?ve ??", event.PrintableASCII("naïve 世界", 100))
	require.Equal(t, "a?b", event.PrintableASCII("a\x7fb", 100))
}

func TestPrintableKeepsToItsBytes(t *testing.T) {
	for n := range 8 {
		require.LessOrEqual(t, len(event.Printable("世界世界", n)), n)
		require.LessOrEqual(t, len(event.Printable(strings.Repeat("\xff", 10), n)), n)
	}
	require.Equal(t, "世", event.Printable("世界", 5), "a character is not cut in two")
}
