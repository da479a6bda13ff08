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

func newCorroboration(t *testing.T, dir string) *safety.Corroboration {
	t.Helper()
	c, damage, err := safety.OpenCorroboration(files(t, dir))
	require.NoError(t, err)
	require.Empty(t, damage)
	return c
}

func TestSourcesCountOnceAndForALimitedTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newCorroboration(t, dir)
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	require.Equal(t, 1, c.Add("m", "one", time.Minute, at(0)))
	require.Equal(t, 1, c.Add("m", "one", time.Minute, at(10)))
	require.Equal(t, 1, c.Add("other", "two", time.Minute, at(10)))
	require.NoError(t, c.Save())
	c = newCorroboration(t, dir)
	require.Equal(t, 2, c.Add("m", "two", time.Minute, at(60)), "it survives a restart")
	require.Equal(t, 2, c.Add("m", "three", time.Minute, at(71)), "the first is over a minute old")
}

func TestCorroborationIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newCorroboration(t, dir)
	long := strings.Repeat("x", 1000)
	require.Equal(t, 1, c.Add("kept", "one", time.Hour, now.Add(time.Minute)))
	for i := range 3000 {
		for j := range 20 {
			c.Add(fmt.Sprint(long, i), fmt.Sprint(long, j), time.Hour, now.Add(time.Duration(i)*time.Millisecond))
		}
	}
	require.Equal(t, 2, c.Add("kept", "two", time.Hour, now.Add(time.Minute)), "a flood about other subjects evicts the oldest only")
	require.NoError(t, c.Save())
	info, err := os.Stat(filepath.Join(dir, "corroboration.json"))
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(4<<20))
	newCorroboration(t, dir)
}

func TestDamagedCorroborationIsMovedAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "corroboration.json"), []byte(`{"a":1}`), 0o600))
	c, damage, err := safety.OpenCorroboration(files(t, dir))
	require.NoError(t, err)
	require.Contains(t, damage, "damaged")
	require.Equal(t, 1, c.Add("m", "one", time.Minute, now))
}
