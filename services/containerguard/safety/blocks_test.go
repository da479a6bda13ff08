package safety_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/containerguard/safety"
)

func openBlocks(t *testing.T, dir string, l safety.BlockLimits) *safety.Blocks {
	t.Helper()
	b, damage, err := safety.OpenBlocks(files(t, dir), l)
	require.NoError(t, err)
	require.Empty(t, damage)
	return b
}

// block is a candidate that ends ttl minutes after now.
func block(key, source string, strength, ttl int) safety.BlockCandidate {
	return safety.BlockCandidate{Key: key, Source: source, Strength: strength, Expires: now.Add(time.Duration(ttl) * time.Minute)}
}

// Where there is no room, the weakest gives way to a stronger one, of several the one that ends first; an equal one, however
// new, does not push it out.
func TestBlocksYieldByStrengthAndExpiry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := openBlocks(t, dir, safety.BlockLimits{PerMinute: 100, Total: 3, PerSource: 100})
	admit := func(c safety.BlockCandidate, wantYields, wantRefused string) {
		t.Helper()
		yields, refused := b.Admit(c, now)
		require.Equal(t, wantYields, yields)
		if wantRefused == "" {
			require.Empty(t, refused)
		}
		require.Contains(t, refused, wantRefused)
	}
	admit(block("strong", "s1", 3, 1), "", "")
	admit(block("weak-late", "s2", 1, 60), "", "")
	admit(block("weak-soon", "s3", 1, 30), "", "")
	admit(block("as-weak", "s4", 1, 600), "", "cap: 3 addresses are blocked automatically, container.max_blocks")
	admit(block("weak-soon", "s3", 1, 40), "", "") // is extended
	admit(block("second", "s5", 2, 10), "weak-soon", "")
	admit(block("third", "s5", 2, 10), "weak-late", "")
	admit(block("fourth", "s5", 2, 600), "", "container.max_blocks")
	require.NoError(t, b.Save())
	b = openBlocks(t, dir, safety.BlockLimits{PerMinute: 100, Total: 3, PerSource: 100})
	require.Equal(t, 3, b.Count())
	admit(block("fourth", "s5", 2, 600), "", "container.max_blocks")
	b.Sync(map[string]bool{"strong": true}, nil, now.Add(time.Second)) // the others may not be written yet
	require.Equal(t, 3, b.Count())
	b.Sync(map[string]bool{"strong": true}, nil, now.Add(2*time.Minute)) // an operator removed the others
	admit(block("fourth", "s5", 2, 600), "", "")
	_, refused := b.Admit(block("fifth", "s5", 2, 600), now.Add(2*time.Minute)) // the strong one has ended
	require.Empty(t, refused)
	require.Equal(t, 2, b.Count())
}

// One source of evidence uses up its own share alone, and weak blocks do not use up the minute of stronger ones.
func TestBlocksHaveCapsPerSourceAndMinute(t *testing.T) {
	t.Parallel()
	b := openBlocks(t, t.TempDir(), safety.BlockLimits{PerMinute: 6, Total: 100, PerSource: 4})
	for i := range 10 { // one source causes half of a minute's blocks at most
		_, refused := b.Admit(block(fmt.Sprint("flood", i), "container", 2, 60), now.Add(time.Duration(i-10)*time.Minute))
		require.Equal(t, i >= 4, refused != "")
	}
	for i := range 4 {
		_, refused := b.Admit(block(fmt.Sprint("minute", i), "container1", 2, 60), now)
		require.Equal(t, i >= 3, strings.Contains(refused, "half of container.max_blocks_per_minute"), refused)
	}
	_, refused := b.Admit(block("others", "container2", 2, 60), now)
	require.Empty(t, refused)
	yields, refused := b.Admit(block("better", "container", 3, 60), now)
	require.NotEmpty(t, yields, "of the same source")
	require.Empty(t, refused)
	_, refused = b.Admit(block("other", "file", 2, 60), now)
	require.Empty(t, refused)
	require.Contains(t, b.Check(block("other2", "file2", 2, 60), now), "cap: 6 addresses")
	_, refused = b.Admit(block("other2", "file2", 2, 60), now)
	require.Contains(t, refused, "cap: 6 addresses were blocked within a minute, container.max_blocks_per_minute")
	_, refused = b.Admit(block("packets", "eth0", 4, 60), now)
	require.Empty(t, refused, "stronger")
	_, refused = b.Admit(block("other2", "file2", 2, 60), now.Add(time.Minute))
	require.Empty(t, refused)
	require.Equal(t, 11, b.Count())
}

// The addresses of one network fill a share only while nobody else needs it.
func TestBlocksOfOneNetworkGiveWayToOthers(t *testing.T) {
	t.Parallel()
	b := openBlocks(t, t.TempDir(), safety.BlockLimits{PerMinute: 1000, Total: 1000, PerSource: 20})
	of := func(network string, n int) safety.BlockCandidate {
		c := block(fmt.Sprint(network, n), "web", 2, 60-n)
		c.Network = network
		return c
	}
	for i := range 20 {
		_, refused := b.Admit(of("attacker/24", i), now)
		require.Empty(t, refused)
	}
	_, refused := b.Admit(of("attacker/24", 20), now)
	require.Contains(t, refused, "container.max_blocks_per_source")
	for i := range 2 { // a tenth
		yields, refused := b.Admit(of("other/24", i), now)
		require.Empty(t, refused)
		require.Equal(t, fmt.Sprint("attacker/24", 19-i), yields, "what ends first")
	}
	_, refused = b.Admit(of("other/24", 2), now)
	require.Contains(t, refused, "container.max_blocks_per_source", "it has its tenth")
	for i := range 16 {
		yields, refused := b.Admit(of(fmt.Sprint("further", i, "/24"), 0), now)
		require.Empty(t, refused)
		require.Contains(t, yields, "attacker/24")
	}
	_, refused = b.Admit(of("last/24", 0), now)
	require.Contains(t, refused, "container.max_blocks_per_source", "a tenth stays with each")
}

// A block that the guard made and does not know any more still counts.
func TestBlocksOfTheBlocklistCount(t *testing.T) {
	t.Parallel()
	b := openBlocks(t, t.TempDir(), safety.BlockLimits{PerMinute: 100, Total: 2, PerSource: 100})
	own := []safety.BlockCandidate{block("one", "", 4, 60), block("two", "", 4, 60), block("over", "", 4, -1)}
	b.Sync(map[string]bool{"one": true, "two": true, "over": true}, own, now)
	require.Equal(t, 2, b.Count())
	_, refused := b.Admit(block("three", "web", 4, 60), now)
	require.Contains(t, refused, "container.max_blocks")
	yields, refused := b.Admit(block("three", "web", 5, 60), now)
	require.NotEmpty(t, yields)
	require.Empty(t, refused)
}
