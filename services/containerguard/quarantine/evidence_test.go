package quarantine_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

func TestMissingEvidenceIsMarkedInManifest(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	id := d.Run(t, testenv.ContainerOptions{Host: map[string]any{"LogConfig": map[string]any{"Type": "none"}}})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	e, _ := g.manager.Get(id)
	require.Equal(t, quarantine.Held, e.State, "a missing piece does not matter to the quarantine")
	m := manifest(t, g.dir, g.order(id, quarantine.Isolate).ActionID)
	require.True(t, m.Partial)
	for _, p := range m.Pieces {
		require.Equal(t, p.File == "logs.jsonl", p.Error != "", "%+v", p)
		raw := evidence(t, g.dir, m.Action, p.File)
		sum := sha256.Sum256([]byte(raw))
		require.Equal(t, hex.EncodeToString(sum[:]), p.SHA256)
		require.Len(t, raw, int(p.Size))
	}
}

func TestEvidenceInterruptedByReleaseIsMarked(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	for range 3 { // the release comes before or during the collection
		released := make(chan error, 1)
		var g *guard
		g = newGuard(t, d, func(o *quarantine.Options) {
			o.OnStep = func(id string, s quarantine.Step) {
				if s == quarantine.StepEvidence {
					go func() {
						_, err := g.manager.Release(context.WithoutCancel(t.Context()), id, "all clear", "")
						released <- err
					}()
				}
			}
		})
		id := d.Run(t, testenv.ContainerOptions{})
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
		require.NoError(t, <-released)
		require.Empty(t, g.manager.List())
		m := manifest(t, g.dir, g.order(id, quarantine.Isolate).ActionID)
		require.NotEmpty(t, m.Pieces)
		for _, p := range m.Pieces {
			require.True(t, p.Error != "" || p.Size > 0, "%+v", p)
		}
	}
}

func manifest(t *testing.T, dir, action string) quarantine.Manifest {
	t.Helper()
	var m quarantine.Manifest
	require.NoError(t, json.Unmarshal([]byte(evidence(t, dir, action, "manifest.json")), &m))
	return m
}

func evidence(t *testing.T, dir, action, file string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "evidence", action, file))
	require.NoError(t, err)
	return string(raw)
}
