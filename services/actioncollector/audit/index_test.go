package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

const smallSegment = 2000 // bytes: seven records or so

// segmented returns the folder of a closed trail of n actions in small segments, its head and the paths of
// its closed segments.
func segmented(t *testing.T, n int) (dir string, head audit.Head, closed []string) {
	t.Helper()
	dir = t.TempDir()
	trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment})
	for i := range n {
		_, err := trail.Append(entry(i + 1))
		require.NoError(t, err)
	}
	head = trail.Head()
	require.NoError(t, trail.Close())
	closed, err := filepath.Glob(filepath.Join(dir, "audit-*.log"))
	require.NoError(t, err)
	require.Greater(t, len(closed), 2)
	return dir, head, closed
}

// changeByte flips a bit in the middle of a file and leaves its size.
func changeByte(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	text[len(text)/2] ^= 1
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

func TestOpenDoesNotReadIndexedSegments(t *testing.T) {
	t.Parallel()
	dir, head, closed := segmented(t, 40)
	changeByte(t, closed[0])
	trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head})
	require.Nil(t, trail.Found().Break, "the first segment was not read")
	require.EqualValues(t, 40, trail.Found().Records)
	require.Equal(t, head, trail.Head())

	require.False(t, verify(t, dir, &head).Intact, "verify reads everything")
	require.ErrorIs(t, trail.Check(t.Context()), audit.ErrTampered, "so does the check after the start")
	require.NoError(t, trail.Close())
	trail = open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head, ReadAll: true})
	require.NotNil(t, trail.Found().Break)
	require.Equal(t, filepath.Base(closed[0]), trail.Found().Break.File)
	require.NoError(t, trail.Check(t.Context()), "declared damage is not found again")
}

func TestCheckOfAnIntactTrailFindsNothing(t *testing.T) {
	t.Parallel()
	dir, head, _ := segmented(t, 40)
	trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head})
	require.NoError(t, trail.Check(t.Context()))
	for i := range 20 { // over the end of a segment
		_, err := trail.Append(entry(41 + i))
		require.NoError(t, err)
		require.NoError(t, trail.Check(t.Context()))
	}
}

func TestRemovedOrTruncatedSegmentIsFoundByOpen(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"removed":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, head, closed := segmented(t, 40)
			require.NoError(t, damage(closed[1]))
			trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head})
			require.NotNil(t, trail.Found().Break)
			require.GreaterOrEqual(t, trail.Found().Break.Seq, uint64(2))
		})
	}
}

// A segment that was closed without its index being stored, as after a kill, is read.
func TestSegmentAfterTheIndexIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	index := filepath.Join(dir, "audit.index")
	trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment})
	var older []byte
	for i := range 40 {
		_, err := trail.Append(entry(i + 1))
		require.NoError(t, err)
		if i == 20 {
			older, err = os.ReadFile(index)
			require.NoError(t, err)
		}
	}
	require.NoError(t, trail.Close())
	newest, err := os.ReadFile(index)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(index, older, 0o600))
	again := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: trail.Head()})
	require.Nil(t, again.Found().Break)
	require.EqualValues(t, 40, again.Found().Records)
	stored, err := os.ReadFile(index)
	require.NoError(t, err)
	require.Equal(t, string(newest), string(stored), "the index is up to date again")
}

// The index is a cache: an unreadable or a wrong one costs a read of the whole trail and nothing else.
func TestWrongIndexIsNotBelieved(t *testing.T) {
	t.Parallel()
	dir, head, _ := segmented(t, 40)
	path := filepath.Join(dir, "audit.index")
	original, err := os.ReadFile(path)
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(original, &fields))
	otherLast := bytes.Replace(original, []byte(`"last":{"seq":`), []byte(`"last":{"seq":1`), 1)
	for name, text := range map[string][]byte{"damaged": original[:len(original)/2], "empty": nil, "another end": otherLast} {
		require.NoError(t, os.WriteFile(path, text, 0o600))
		trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head})
		require.Nil(t, trail.Found().Break, name)
		require.Equal(t, head, trail.Head(), name)
		require.EqualValues(t, 40, trail.Found().Records, name)
		require.NoError(t, trail.Close())
	}
}

func TestAcceptanceIsCheckedAcrossIndexedSegments(t *testing.T) {
	t.Parallel()
	dir, head, closed := segmented(t, 20)
	changeByte(t, closed[0])
	trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head, ReadAll: true})
	_, err := trail.Accept(t.Context(), "alice", "known")
	require.NoError(t, err)
	for i := range 30 {
		require.NoError(t, trail.Close())
		trail = open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: trail.Head()})
		require.Nil(t, trail.Found().Break)
		require.True(t, trail.Found().LastBreak.IsZero(), "the break is accepted")
		_, err := trail.Append(entry(21 + i))
		require.NoError(t, err)
	}
	require.NoError(t, trail.Check(t.Context()))
	head = trail.Head()
	require.True(t, verify(t, dir, &head).Intact)
}

// A kill right after a segment was closed leaves a trail without an active segment and without an index of the
// closed one.
func TestTrailWithoutActiveSegmentOpens(t *testing.T) {
	t.Parallel()
	dir, head, _ := segmented(t, 40)
	lines := activeLines(t, dir)
	var first struct{ Seq uint64 }
	require.NoError(t, json.Unmarshal(lines[0], &first))
	require.NoError(t, os.Rename(filepath.Join(dir, "audit.log"), filepath.Join(dir, fmt.Sprintf("audit-%020d.log", first.Seq))))
	trail := open(t, audit.Config{Dir: dir, SegmentSize: smallSegment, Head: head})
	require.Nil(t, trail.Found().Break)
	head, err := trail.Append(entry(41))
	require.NoError(t, err)
	require.True(t, verify(t, dir, &head).Intact)
}
