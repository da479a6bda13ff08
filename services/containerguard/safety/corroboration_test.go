package safety_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/containerguard/safety"
)

func votes(t *testing.T, dir string) *safety.Corroboration {
	t.Helper()
	v, trouble, err := safety.OpenCorroboration(files(t, dir))
	require.NoError(t, err)
	require.Empty(t, trouble)
	return v
}

func TestVoicesAreCountedOnceAndForAWhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := votes(t, dir)
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	require.Equal(t, 1, v.Add("m", "one", time.Minute, at(0)))
	require.Equal(t, 1, v.Add("m", "one", time.Minute, at(10)))
	require.Equal(t, 1, v.Add("other", "two", time.Minute, at(10)))
	require.NoError(t, v.Save())
	v = votes(t, dir)
	require.Equal(t, 2, v.Add("m", "two", time.Minute, at(60)), "they outlive the guard")
	require.Equal(t, 2, v.Add("m", "three", time.Minute, at(71)), "the first is over a minute old")
}

func TestVotesAreBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := votes(t, dir)
	long := strings.Repeat("x", 1000)
	require.Equal(t, 1, v.Add("kept", "one", time.Hour, now.Add(time.Minute)))
	for i := range 3000 {
		for j := range 20 {
			v.Add(fmt.Sprint(long, i), fmt.Sprint(long, j), time.Hour, now.Add(time.Duration(i)*time.Millisecond))
		}
	}
	require.Equal(t, 2, v.Add("kept", "two", time.Hour, now.Add(time.Minute)), "a flood about others makes the oldest forgotten, not all")
	require.NoError(t, v.Save())
	info, err := os.Stat(filepath.Join(dir, "votes.json"))
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(4<<20))
	votes(t, dir)
}

func TestDamagedVotesAreMovedAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "votes.json"), []byte(`{"a":1}`), 0o600))
	v, trouble, err := safety.OpenCorroboration(files(t, dir))
	require.NoError(t, err)
	require.Contains(t, trouble, "damaged")
	require.Equal(t, 1, v.Add("m", "one", time.Minute, now))
}
