package quarantine_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

func openAt(t *testing.T, dir string) *quarantine.Manager {
	t.Helper()
	c, err := docker.Connect("/nowhere/docker.sock")
	require.NoError(t, err)
	m, err := quarantine.Open(quarantine.Options{Docker: c, DataDir: dir, Host: "test", Report: func(context.Context, event.Action) {}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func TestLedgerSurvivesRestartDamageAndLinks(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("0", 64)
	t.Run("an order taken while Docker is away is kept", func(t *testing.T) {
		dir := t.TempDir()
		m := openAt(t, dir)
		require.NoError(t, m.Apply(t.Context(), (&guard{}).order(id, quarantine.Pause)))
		info, err := os.Stat(filepath.Join(dir, "quarantine", id+".json"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		require.Len(t, openAt(t, dir).List(), 1)
	})
	t.Run("a damaged entry is moved aside and reported, the others are loaded", func(t *testing.T) {
		for _, content := range []string{"", "{", `{"version":99}`, `{"version":1,"before":{"id":"` + strings.Repeat("1", 64) + `"}}`} {
			dir, whole := t.TempDir(), strings.Repeat("2", 64)
			require.NoError(t, openAt(t, dir).Apply(t.Context(), (&guard{}).order(whole, quarantine.Pause)))
			for _, name := range []string{id + ".json", "done.json"} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "quarantine", name), []byte(content), 0o600))
			}
			m := openAt(t, dir)
			require.Len(t, m.List(), 1, "%q", content)
			require.Len(t, m.Damaged(), 2, "%q", content)
			require.Contains(t, m.Damaged()[1], id+".json.damaged")
			kept, err := os.ReadFile(filepath.Join(dir, "quarantine", id+".json.damaged"))
			require.NoError(t, err)
			require.Equal(t, content, string(kept))
			require.Empty(t, openAt(t, dir).Damaged(), "reported once")
		}
	})
	t.Run("a folder in place of an entry is moved aside", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "quarantine", id+".json"), 0o700))
		require.Len(t, openAt(t, dir).Damaged(), 1)
		require.DirExists(t, filepath.Join(dir, "quarantine", id+".json.damaged"))
	})
	t.Run("a link is not written through", func(t *testing.T) {
		dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
		require.NoError(t, os.WriteFile(victim, []byte("untouched"), 0o600))
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "quarantine"), 0o700))
		m := openAt(t, dir)
		for _, name := range []string{"." + id + ".json", id + ".json"} {
			require.NoError(t, os.Symlink(victim, filepath.Join(dir, "quarantine", name)))
		}
		require.NoError(t, m.Apply(t.Context(), (&guard{}).order(id, quarantine.Pause)))
		content, err := os.ReadFile(victim)
		require.NoError(t, err)
		require.Equal(t, "untouched", string(content))
	})
}

func TestEntryWithLongLabelsCanBeReadBack(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	id := d.Run(t, testenv.ContainerOptions{Labels: map[string]string{"long": strings.Repeat("<", 1<<20)}})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	again, err := quarantine.Open(quarantine.Options{Docker: g.client, DataDir: g.dir, Host: "test", Report: g.report})
	require.NoError(t, err, "the ledger can be read")
	t.Cleanup(func() { require.NoError(t, again.Close()) })
	_, err = again.Release(t.Context(), id, "all clear", "")
	require.NoError(t, err)
	require.Len(t, g.inspect(t, id).Networks, 1)
}
