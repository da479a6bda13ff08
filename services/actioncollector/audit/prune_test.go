package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// pruned returns the folder of a closed trail whose first segments were removed by retention, its head, and
// the content of the removed segments by path.
func pruned(t *testing.T) (dir string, head audit.Head, removed map[string][]byte) {
	t.Helper()
	dir, head, closed := segmented(t, 40)
	removed = map[string][]byte{}
	for _, path := range closed {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		removed[path] = text
	}
	trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head})
	require.Zero(t, trail.Prunable(time.Now().Add(-time.Hour)), "every record is newer")
	first := trail.Prunable(time.Now().Add(time.Hour))
	require.Greater(t, first, uint64(20))
	require.NoError(t, trail.Prune(first))
	for path := range removed {
		require.NoFileExists(t, path)
	}
	require.Equal(t, first, trail.Head().First)
	require.NoError(t, trail.Check(t.Context()))
	_, err := trail.Append(entry(41))
	require.NoError(t, err)
	require.NoError(t, trail.Close())
	return dir, trail.Head(), removed
}

func TestPrunedTrailVerifiesFromWhereItBegins(t *testing.T) {
	t.Parallel()
	dir, head, _ := pruned(t)
	for _, known := range []*audit.Head{&head, nil} {
		r := verify(t, dir, known)
		require.True(t, r.Intact, r.Problems)
		require.Equal(t, head.First, r.First.Seq)
		require.Equal(t, head.Seq, r.Last.Seq)
	}
	for _, readAll := range []bool{false, true} {
		trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head, ReadAll: readAll})
		require.Nil(t, trail.Found().Break)
		require.Equal(t, head, trail.Head())
		require.NoError(t, trail.Check(t.Context()))
		require.NoError(t, trail.Close())
	}
}

func TestPrunedTrailCanBePrunedAgain(t *testing.T) {
	t.Parallel()
	dir, head, _ := pruned(t)
	trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head})
	for n := range 40 {
		_, err := trail.Append(entry(42 + n))
		require.NoError(t, err)
	}
	first := trail.Prunable(time.Now().Add(time.Hour))
	require.Greater(t, first, head.First)
	require.NoError(t, trail.Prune(first))
	head = trail.Head()
	require.Equal(t, first, head.First)
	require.NoError(t, trail.Close())
	require.True(t, verify(t, dir, &head).Intact)
	require.Nil(t, open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head}).Found().Break)
}

// A kill while files are removed leaves some of them. They are not part of the trail any more, and the next
// Open removes them.
func TestInterruptedPruneIsCompleted(t *testing.T) {
	t.Parallel()
	dir, head, removed := pruned(t)
	for path, text := range removed {
		require.NoError(t, os.WriteFile(path, text, 0o600))
	}
	first, err := filepath.Glob(filepath.Join(dir, "audit-*1.log"))
	require.NoError(t, err)
	require.NotEmpty(t, first)
	require.NoError(t, os.Remove(first[0]))
	require.True(t, verify(t, dir, &head).Intact)
	trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head})
	require.Nil(t, trail.Found().Break)
	for path := range removed {
		require.NoFileExists(t, path)
	}
}

// Removing segments by hand is found, also if a forged record claims that retention did it: the stored head
// says where the trail may begin.
func TestTrailThatBeginsTooLateIsBroken(t *testing.T) {
	t.Parallel()
	dir, head, _ := pruned(t)
	forged := head
	forged.First = 0
	r := verify(t, dir, &forged)
	require.False(t, r.Intact)
	require.Equal(t, audit.Removed, r.Problems[0].Fault)
	require.Equal(t, uint64(1), r.Problems[0].Seq)
	require.Equal(t, head.First-1, r.Problems[0].LastSeq)
	trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: forged})
	require.NotNil(t, trail.Found().Break)
}

func TestAcceptanceSurvivesPruning(t *testing.T) {
	t.Parallel()
	dir, head, closed := segmented(t, 40)
	changeByte(t, closed[len(closed)-1])
	trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head, ReadAll: true})
	require.NotNil(t, trail.Found().Break)
	for n := range 20 {
		_, err := trail.Append(entry(41 + n))
		require.NoError(t, err)
	}
	_, err := trail.Accept(t.Context(), "alice", "known")
	require.NoError(t, err)
	var second uint64
	_, err = fmt.Sscanf(filepath.Base(closed[1]), "audit-%d.log", &second)
	require.NoError(t, err)
	require.NoError(t, trail.Prune(second))
	head = trail.Head()
	require.NoError(t, trail.Close())
	r := verify(t, dir, &head)
	require.True(t, r.Intact, r.Problems)
	require.Len(t, r.Accepted, 1)
}
