package audit_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// entry returns the n-th action.
func entry(n int) audit.Entry {
	id := fmt.Sprintf("action-%d", n)
	return audit.Entry{
		ID: id, StreamSeq: uint64(n),
		Action: fmt.Appendf(nil, `{"id":%q, "kind":"isolate","target":"web <&> \u001b[31m"}`, id),
	}
}

// open opens a trail and closes it at the end of the test.
func open(t testing.TB, cfg audit.Config) *audit.Trail {
	t.Helper()
	trail, err := audit.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = trail.Close() })
	return trail
}

// written returns the folder of a closed trail of n actions, and its head.
func written(t testing.TB, n int) (string, audit.Head) {
	t.Helper()
	dir := t.TempDir()
	trail := open(t, audit.Config{Dir: dir})
	for i := range n {
		_, err := trail.Append(entry(i + 1))
		require.NoError(t, err)
	}
	head := trail.Head()
	require.NoError(t, trail.Close())
	return dir, head
}

func verify(t testing.TB, dir string, head *audit.Head) audit.Report {
	t.Helper()
	r, err := audit.Verify(t.Context(), dir, head)
	require.NoError(t, err)
	return r
}

func activeLines(t testing.TB, dir string) [][]byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "audit.log"))
	require.NoError(t, err)
	return bytes.SplitAfter(bytes.TrimSuffix(b, nil), []byte("\n"))
}

func overwrite(t testing.TB, dir string, text []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "audit.log"), text, 0o600))
}

func TestAppendedRecordsVerify(t *testing.T) {
	t.Parallel()
	dir, head := written(t, 5)
	r := verify(t, dir, &head)
	require.True(t, r.Intact, r.Problems)
	require.EqualValues(t, 5, r.Records)
	require.EqualValues(t, 1, r.First.Seq)
	require.Equal(t, head, r.Last)
	info, err := os.Stat(filepath.Join(dir, "audit.log"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestTrailContinuesAfterReopen(t *testing.T) {
	t.Parallel()
	dir, head := written(t, 3)
	trail := open(t, audit.Config{Dir: dir, Head: head})
	require.Nil(t, trail.Found().Break)
	require.Equal(t, head, trail.Head())
	for n := 1; n <= 3; n++ {
		known, err := trail.Known(t.Context(), entry(n).ID, uint64(n))
		require.NoError(t, err)
		require.True(t, known)
	}
	known, err := trail.Known(t.Context(), "action-4", 4)
	require.NoError(t, err)
	require.False(t, known)
	head, err = trail.Append(entry(4), entry(5))
	require.NoError(t, err)
	require.True(t, verify(t, dir, &head).Intact)
}

func TestSecondOpenIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, audit.Config{Dir: dir})
	_, err := audit.Open(t.Context(), audit.Config{Dir: dir})
	require.ErrorIs(t, err, audit.ErrLocked)
}

func TestEveryChangedByteIsLocated(t *testing.T) {
	t.Parallel()
	dir, head := written(t, 3)
	original, err := os.ReadFile(filepath.Join(dir, "audit.log"))
	require.NoError(t, err)
	lineOf := func(i int) int { return bytes.Count(original[:i], []byte("\n")) + 1 }
	exact := 0
	for i := range original {
		for _, mask := range []byte{1, 0x80, original[i] ^ '\n'} {
			if mask == 0 {
				continue
			}
			text := bytes.Clone(original)
			text[i] ^= mask
			overwrite(t, dir, text)
			r := verify(t, dir, &head)
			require.False(t, r.Intact, "byte %d with mask %#x", i, mask)
			p := r.Problems[0]
			require.Equal(t, lineOf(i), p.Line, "byte %d with mask %#x: %v", i, mask, r.Problems)
			require.EqualValues(t, lineOf(i), p.Seq, "byte %d with mask %#x: %v", i, mask, r.Problems)
			if p.Byte != nil {
				require.EqualValues(t, i, *p.Byte, "mask %#x: %v", mask, r.Problems)
				exact++
			}
		}
	}
	t.Logf("%d bytes, %d mutations with the exact byte", len(original), exact)
}

func TestRemovedAndInsertedBytesAreFound(t *testing.T) {
	t.Parallel()
	dir, head := written(t, 3)
	original, err := os.ReadFile(filepath.Join(dir, "audit.log"))
	require.NoError(t, err)
	for i := 0; i < len(original); i += 7 {
		overwrite(t, dir, append(bytes.Clone(original[:i]), original[i+1:]...))
		require.False(t, verify(t, dir, nil).Intact, "byte %d removed", i)
		overwrite(t, dir, append(append(bytes.Clone(original[:i]), 'x'), original[i:]...))
		require.False(t, verify(t, dir, &head).Intact, "byte inserted at %d", i)
		overwrite(t, dir, original[:i])
		require.False(t, verify(t, dir, &head).Intact, "cut at %d", i)
	}
}

func TestRecordsInWrongOrderAreFound(t *testing.T) {
	t.Parallel()
	const n = 5
	dir, head := written(t, n)
	lines := activeLines(t, dir)[:n]
	with := func(order ...int) audit.Report {
		var text []byte
		for _, i := range order {
			text = append(text, lines[i-1]...)
		}
		overwrite(t, dir, text)
		return verify(t, dir, &head)
	}
	tests := []struct {
		order []int
		fault audit.Fault
		seq   uint64
	}{
		{[]int{2, 3, 4, 5}, audit.Removed, 1},
		{[]int{1, 3, 4, 5}, audit.Removed, 2},
		{[]int{1, 2, 3, 5}, audit.Removed, 4},
		{[]int{1, 2, 3, 4}, audit.Cut, 5},
		{[]int{}, audit.Cut, 1},
		{[]int{1, 2}, audit.Cut, 3},
		{[]int{2, 1, 3, 4, 5}, audit.Swapped, 1},
		{[]int{1, 3, 2, 4, 5}, audit.Swapped, 2},
		{[]int{1, 2, 3, 5, 4}, audit.Swapped, 4},
		{[]int{1, 1, 2, 3, 4, 5}, audit.Doubled, 1},
		{[]int{1, 2, 3, 3, 4, 5}, audit.Doubled, 3},
		{[]int{1, 2, 3, 4, 5, 5}, audit.Doubled, 5},
		{[]int{1, 2, 3, 4, 5, 1}, audit.Doubled, 1},
	}
	for _, tt := range tests {
		r := with(tt.order...)
		require.Len(t, r.Problems, 1, "%v: %v", tt.order, r.Problems)
		require.Equal(t, tt.fault, r.Problems[0].Fault, "%v: %v", tt.order, r.Problems)
		require.Equal(t, tt.seq, r.Problems[0].Seq, "%v: %v", tt.order, r.Problems)
	}
	for i := range n {
		for j := range i {
			order := []int{1, 2, 3, 4, 5}
			order[i], order[j] = order[j], order[i]
			r := with(order...)
			require.False(t, r.Intact)
			require.Equal(t, audit.Swapped, r.Problems[len(r.Problems)-1].Fault, "%v: %v", order, r.Problems)
		}
	}
	require.True(t, with(1, 2, 3, 4, 5).Intact)
}

func TestReplacedRecordIsFound(t *testing.T) {
	t.Parallel()
	dir, head := written(t, 3)
	lines := activeLines(t, dir)
	other := t.TempDir()
	trail := open(t, audit.Config{Dir: other})
	_, err := trail.Append(entry(1))
	require.NoError(t, err)
	forged := entry(2)
	forged.Action = []byte(`{"id":"action-2","kind":"none"}`)
	_, err = trail.Append(forged)
	require.NoError(t, err)
	otherLines := activeLines(t, other)

	overwrite(t, dir, bytes.Join([][]byte{otherLines[0], otherLines[1], lines[2]}, nil))
	r := verify(t, dir, &head)
	require.Len(t, r.Problems, 1)
	require.Equal(t, audit.Replaced, r.Problems[0].Fault)
	require.EqualValues(t, 2, r.Problems[0].Seq)

	rewritten := trail.Head()
	rewritten.Hash[0] ^= 1
	r = verify(t, other, &rewritten)
	require.Len(t, r.Problems, 1)
	require.Equal(t, audit.Rewritten, r.Problems[0].Fault)
}

func TestStoredHeadMayBeOlderThanTheTrail(t *testing.T) {
	t.Parallel()
	dir, _ := written(t, 2)
	head := verify(t, dir, nil).Last
	trail := open(t, audit.Config{Dir: dir})
	_, err := trail.Append(entry(3))
	require.NoError(t, err)
	require.True(t, verify(t, dir, &head).Intact)
}

func TestUnfinishedRecordIsCutOff(t *testing.T) {
	t.Parallel()
	dir, head := written(t, 3)
	whole, err := os.ReadFile(filepath.Join(dir, "audit.log"))
	require.NoError(t, err)
	trail := open(t, audit.Config{Dir: dir})
	_, err = trail.Append(entry(4))
	require.NoError(t, err)
	require.NoError(t, trail.Close())
	longer, err := os.ReadFile(filepath.Join(dir, "audit.log"))
	require.NoError(t, err)

	for cut := len(whole) + 1; cut < len(longer); cut++ {
		for _, zeros := range []int{0, 4096} {
			dir := t.TempDir()
			torn := append(bytes.Clone(longer[:cut]), make([]byte, zeros)...)
			overwrite(t, dir, torn)
			require.False(t, verify(t, dir, &head).Intact)
			trail := open(t, audit.Config{Dir: dir, Head: head})
			require.Nil(t, trail.Found().Break, "cut at %d", cut)
			require.NotNil(t, trail.Found().Repaired, "cut at %d", cut)
			aside, err := os.ReadFile(trail.Found().Repaired.Aside)
			require.NoError(t, err)
			require.Equal(t, torn[len(whole):], aside)
			known, err := trail.Known(t.Context(), "action-4", 4)
			require.NoError(t, err)
			require.False(t, known)
			now, err := trail.Append(entry(4))
			require.NoError(t, err)
			require.NoError(t, trail.Close())
			require.True(t, verify(t, dir, &now).Intact)
		}
	}
}

func TestDamageIsDeclaredAndTheTrailContinues(t *testing.T) {
	t.Parallel()
	damages := map[string]func(lines [][]byte) []byte{
		"changed": func(l [][]byte) []byte { l[1][200] ^= 1; return bytes.Join(l, nil) },
		"removed": func(l [][]byte) []byte { return bytes.Join(append(l[:1:1], l[2:]...), nil) },
		"doubled": func(l [][]byte) []byte { return bytes.Join(append(l, l[2]), nil) },
		"cut":     func(l [][]byte) []byte { return bytes.Join(l[:2], nil) },
		"emptied": func([][]byte) []byte { return nil },
		"junk":    func(l [][]byte) []byte { return append(bytes.Join(l, nil), "junk"...) },
		"longer":  func(l [][]byte) []byte { return append(bytes.Join(l, nil), "junk\n"...) },
		"no end":  func(l [][]byte) []byte { return bytes.TrimSuffix(bytes.Join(l, nil), []byte("\n")) },
		"no end and another byte": func(l [][]byte) []byte {
			b := bytes.Join(l, nil)
			b[len(b)-1] = 'x'
			return b
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, head := written(t, 3)
			overwrite(t, dir, damage(activeLines(t, dir)[:3]))
			first := open(t, audit.Config{Dir: dir, Head: head})
			require.NotNil(t, first.Found().Break)
			require.False(t, first.Found().LastBreak.IsZero())
			require.GreaterOrEqual(t, first.Head().Seq, uint64(4), "no seq is used twice")
			head, err := first.Append(entry(4))
			require.NoError(t, err)
			require.NoError(t, first.Close())

			second := open(t, audit.Config{Dir: dir, Head: head})
			require.Nil(t, second.Found().Break, "declared once")
			require.Nil(t, second.Found().Repaired)
			require.False(t, second.Found().LastBreak.IsZero())
			head, err = second.Append(entry(5))
			require.NoError(t, err)
			r := verify(t, dir, &head)
			require.False(t, r.Intact)
			require.Equal(t, audit.Declared, r.Problems[len(r.Problems)-1].Fault, r.Problems)
		})
	}
}

func TestDamageWhileOpenFailsTheNextAppend(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, path string){
		"removed":   func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
		"truncated": func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 10)) },
		"replaced": func(t *testing.T, path string) {
			require.NoError(t, os.Rename(path, path+".bak"))
			require.NoError(t, os.WriteFile(path, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			trail := open(t, audit.Config{Dir: dir})
			_, err := trail.Append(entry(1))
			require.NoError(t, err)
			damage(t, filepath.Join(dir, "audit.log"))
			_, err = trail.Append(entry(2))
			require.ErrorIs(t, err, audit.ErrTampered)
			require.NoError(t, trail.Close())
			trail = open(t, audit.Config{Dir: dir, Head: trail.Head()})
			require.NotNil(t, trail.Found().Break)
			_, err = trail.Append(entry(2))
			require.NoError(t, err)
		})
	}
}

func TestSegmentsAreChained(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const n = 40
	for i := range n { // opened again each time: closing segments and opening must not disturb each other
		trail := open(t, audit.Config{Dir: dir, SegmentSize: 2000})
		require.Nil(t, trail.Found().Break)
		known, err := trail.Known(t.Context(), "action-1", 1)
		require.NoError(t, err)
		require.Equal(t, i > 0, known)
		_, err = trail.Append(entry(i + 1))
		require.NoError(t, err)
		require.NoError(t, trail.Close())
	}
	r := verify(t, dir, nil)
	require.True(t, r.Intact, r.Problems)
	require.EqualValues(t, n, r.Records)
	require.Greater(t, r.Files, 5)

	names, err := filepath.Glob(filepath.Join(dir, "audit-*.log"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(names[2]))
	r = verify(t, dir, nil)
	require.Len(t, r.Problems, 1)
	require.Equal(t, audit.Removed, r.Problems[0].Fault)
}

// ELOOP also comes from a loop of links in a parent folder: the error must not advise to remove the file.
func TestLinkLoopInAParentFolderIsNotBlamedOnTheFile(t *testing.T) {
	t.Parallel()
	loop := filepath.Join(t.TempDir(), "loop")
	require.NoError(t, os.Symlink(loop, loop))
	_, err := audit.OpenRead(filepath.Join(loop, "audit.log"))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "remove it")
}

func TestLinkInPlaceOfTheTrailIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(victim, []byte("mine"), 0o600))
	require.NoError(t, os.Symlink(victim, filepath.Join(dir, "audit.log")))
	_, err := audit.Open(t.Context(), audit.Config{Dir: dir})
	require.ErrorContains(t, err, "audit.log is a symbolic link, which is not followed")
	require.NoError(t, os.Remove(filepath.Join(dir, "audit.log")))
	require.NoError(t, os.Link(victim, filepath.Join(dir, "audit.log")))
	_, err = audit.Open(t.Context(), audit.Config{Dir: dir})
	require.ErrorContains(t, err, "linked")
	text, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "mine", string(text))
}

func TestOldActionIsFoundOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	trail := open(t, audit.Config{Dir: dir, SegmentSize: 1 << 20})
	const n = 17_000 // more than are kept in memory
	for i := 0; i < n; i += 1000 {
		batch := make([]audit.Entry, 1000)
		for j := range batch {
			batch[j] = entry(i + j + 1)
		}
		_, err := trail.Append(batch...)
		require.NoError(t, err)
	}
	known, err := trail.Known(t.Context(), "action-1", 1)
	require.NoError(t, err)
	require.True(t, known)
	known, err = trail.Known(t.Context(), "another", 2)
	require.NoError(t, err)
	require.False(t, known)
}
