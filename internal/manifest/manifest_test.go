package manifest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/manifest"
)

var at = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

const month = 30 * 24 * time.Hour

func TestLostOfAStream(t *testing.T) {
	t.Parallel()
	known := manifest.Stream{First: 1, Last: 100, Messages: 100, FirstAt: at.Add(-time.Hour), Marks: []manifest.Mark{{Seq: 100, At: at.Add(-time.Minute)}}}
	old := manifest.Stream{First: 1, Last: 100, Messages: 100, FirstAt: at.Add(-month - time.Hour), Marks: []manifest.Mark{
		{Seq: 20, At: at.Add(-month - time.Minute)}, {Seq: 40, At: at.Add(-month + time.Minute)}, {Seq: 100, At: at},
	}}
	for name, tc := range map[string]struct {
		known, now manifest.Stream
		lost       uint64
	}{
		"the same":                  {known, manifest.Stream{First: 1, Last: 100, Messages: 100}, 0},
		"more":                      {known, manifest.Stream{First: 1, Last: 150, Messages: 150}, 0},
		"emptied":                   {known, manifest.Stream{First: 101, Last: 100}, 100},
		"made anew":                 {known, manifest.Stream{}, 100},
		"made anew and used":        {known, manifest.Stream{First: 1, Last: 7, Messages: 7}, 93},
		"its end is gone":           {known, manifest.Stream{First: 1, Last: 60, Messages: 60}, 40},
		"a hole":                    {known, manifest.Stream{First: 1, Last: 100, Messages: 70}, 30},
		"a hole and more":           {known, manifest.Stream{First: 1, Last: 120, Messages: 90}, 30},
		"its beginning is gone":     {known, manifest.Stream{First: 51, Last: 100, Messages: 50}, 50},
		"its beginning gave way":    {known, manifest.Stream{First: 51, Last: 100, Messages: 50, Full: true}, 0},
		"expired":                   {old, manifest.Stream{First: 31, Last: 100, Messages: 70}, 0},
		"expired, and more is gone": {old, manifest.Stream{First: 51, Last: 100, Messages: 50}, 10},
		"nothing known":             {manifest.Stream{}, manifest.Stream{First: 1, Last: 9, Messages: 9}, 0},
	} {
		require.Equal(t, tc.lost, tc.known.Lost(tc.now, at, month), name)
	}
}

// What a stream held long ago may have expired, whatever it grew by since.
func TestMarksAreBoundedAndTellWhatExpired(t *testing.T) {
	t.Parallel()
	var s manifest.Stream
	for n := range uint64(5000) {
		s = s.Next(manifest.Stream{First: 1, Last: n + 1, Messages: n + 1, FirstAt: at}, at.Add(time.Duration(n)*time.Hour), month)
	}
	require.LessOrEqual(t, len(s.Marks), 128)
	now := at.Add(5000 * time.Hour)
	expired := uint64(5000 - 30*24)
	require.Zero(t, s.Lost(manifest.Stream{First: expired + 1, Last: 5000, Messages: 5000 - expired}, now, month))
	require.NotZero(t, s.Lost(manifest.Stream{First: expired + 100, Last: 5000, Messages: 5001 - expired - 100}, now, month))
}

func TestManifestIsSavedAndDamageShows(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manifest.json")
	_, found, reason, err := manifest.Load(path)
	require.NoError(t, err)
	require.False(t, found)
	require.Empty(t, reason)

	m := manifest.Manifest{Clean: true, Machine: "abc", Streams: map[string]manifest.Stream{"A": {First: 1, Last: 2, Messages: 2}}}
	m.AddLoss("bus", "2 records are gone", at)
	require.NoError(t, m.Save(path, at))
	got, found, reason, err := manifest.Load(path)
	require.NoError(t, err)
	require.True(t, found)
	require.Empty(t, reason)
	require.Equal(t, m.Streams, got.Streams)
	require.Equal(t, map[string][]string{"bus": {"found at 2026-11-30T12:00:00Z: 2 records are gone"}}, got.Reasons(at.Add(time.Hour)))
	require.Empty(t, got.Reasons(at.Add(25*time.Hour)))

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	text[20] ^= 1
	require.NoError(t, os.WriteFile(path, text, 0o600))
	_, found, reason, err = manifest.Load(path)
	require.NoError(t, err)
	require.False(t, found)
	require.Contains(t, reason, "damaged")
	require.NoFileExists(t, path)
}

func TestChangedFilesAreFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for _, name := range []string{"same", "gone", "flipped", "a/cut", "a/ignored", "folder"} {
		write(name, "content of "+name)
	}
	files := manifest.ReadFiles(dir, true, func(path string) bool { return path != "a/ignored" })
	require.Len(t, files, 5)
	require.Empty(t, manifest.Changes(dir, files))
	require.NoError(t, os.Remove(filepath.Join(dir, "gone")))
	require.NoError(t, os.Remove(filepath.Join(dir, "folder")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	write("flipped", "content of flippee")
	write("a/cut", "content")
	write("new", "is no change")
	var paths []string
	for _, c := range manifest.Changes(dir, files) {
		paths = append(paths, c.Path)
		require.Equal(t, c.Path == "gone", c.Gone)
	}
	require.Equal(t, []string{"a/cut", "flipped", "folder", "gone"}, paths)
	require.True(t, manifest.Below("a/cut", "b", "a"))
	require.False(t, manifest.Below("ab/cut", "a"))
}

// Of queues of gigabytes not all is read.
func TestContentsAreRememberedUpToABound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const files, size = 10, 16 << 20
	for n := range files {
		name := filepath.Join(dir, fmt.Sprintf("%02d", n))
		require.NoError(t, os.WriteFile(name, nil, 0o600))
		require.NoError(t, os.Truncate(name, size))
	}
	sums := 0
	for _, file := range manifest.ReadFiles(dir, true, func(string) bool { return true }) {
		require.EqualValues(t, size, file.Size)
		if file.Sum != "" {
			sums++
		}
	}
	require.Equal(t, 8, sums)
}
