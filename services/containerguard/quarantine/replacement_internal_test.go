package quarantine

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
)

// Removals that Run is not told of must not fill the memory.
func TestRememberedContainersAreBounded(t *testing.T) {
	t.Parallel()
	r := newReplacements()
	created := time.Now()
	for i := range maxRemembered + 10 {
		c := docker.Container{ID: strconv.Itoa(i), Project: "p", Service: "web", Created: created.Add(time.Duration(i) * time.Second)}
		r.record(change{Container: c}, false)
	}
	require.Len(t, r.existing, maxRemembered)
	require.NotContains(t, r.existing, "0", "the oldest are dropped")
	require.Contains(t, r.existing, strconv.Itoa(maxRemembered+9))
}

func TestReplacementsForgetWhatLeftTheLedger(t *testing.T) {
	t.Parallel()
	r := newReplacements()
	old := docker.Container{ID: "old", Project: "p", Service: "web", Created: time.Now()}
	e := Entry{Snapshot: Snapshot{Before: old}, Progress: Progress{Begun: true}}
	again := docker.Container{ID: "new", Project: "p", Service: "web", Created: time.Now().Add(time.Second)}
	r.record(change{Container: old}, true)
	r.record(change{Container: old, Gone: true}, true)
	r.record(change{Container: again}, false)
	found, redeployed := r.find([]Entry{e})
	require.Len(t, found, 1)
	require.Equal(t, "new", found[0].container.ID)
	require.Equal(t, "old", found[0].of.Before.ID)
	require.Empty(t, redeployed)
	found, _ = r.find([]Entry{e})
	require.Empty(t, found, "found once")
	_, _ = r.find(nil)
	require.Empty(t, r.removed)
	require.Empty(t, r.newest)
	require.Empty(t, r.found)
}
