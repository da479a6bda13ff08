package quarantine_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// hasEvidence reports whether there is complete evidence of a container's isolation.
func (g *guard) hasEvidence(t *testing.T, id string) bool {
	t.Helper()
	_, err := os.Stat(filepath.Join(g.dir, "evidence", g.order(id, quarantine.Isolate).ActionID, "manifest.json"))
	return err == nil
}

// evidenceBytes adds up the files on the disk.
func (g *guard) evidenceBytes(t *testing.T) (sum int64) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(filepath.Join(g.dir, "evidence"), func(_ string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		if !d.IsDir() {
			sum += info.Size()
		}
		return nil
	}))
	return sum
}

func TestOldestEvidenceIsRemovedForNew(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	isolate := func() string {
		id := d.Run(t, testenv.ContainerOptions{})
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
		return id
	}
	release := func(id string) { g.release(t, id) }

	first := isolate()
	release(first)
	one := g.manager.Evidence().Bytes
	limit := 2*one + one/2 // room for two, not for three
	g.manager.SetEvidenceLimits(quarantine.EvidenceLimits{MaxBytes: limit})
	g.manager.Sweep(t.Context())
	second := isolate()
	release(second)
	require.True(t, g.hasEvidence(t, first) && g.hasEvidence(t, second))

	third := isolate()
	require.False(t, g.hasEvidence(t, first), "the oldest is removed")
	require.True(t, g.hasEvidence(t, second) && g.hasEvidence(t, third))
	fourth := isolate()
	require.False(t, g.hasEvidence(t, second))
	require.True(t, g.hasEvidence(t, third) && g.hasEvidence(t, fourth))
	require.Empty(t, g.manager.EvidenceReason())

	fifth := isolate()
	require.True(t, g.isolated(t, fifth), "it is isolated all the same")
	require.True(t, g.hasEvidence(t, third) && g.hasEvidence(t, fourth), "evidence of quarantined containers is kept")
	require.LessOrEqual(t, g.evidenceBytes(t), limit)
	require.Equal(t, "evidence failed", g.phases()[len(g.phases())-1])
	require.Contains(t, g.lastAction().Error, "container.evidence_max_bytes")
	e, _ := g.manager.Get(fifth)
	require.Contains(t, e.Error, "container.evidence_max_bytes")
	stats := g.manager.Evidence()
	require.Equal(t, [2]uint64{2, 1}, [2]uint64{stats.Removed, stats.Refused})
	require.LessOrEqual(t, stats.Bytes, limit)
	require.Contains(t, g.manager.EvidenceReason(), "container.evidence_max_bytes")

	release(third)
	sixth := isolate()
	require.True(t, g.hasEvidence(t, sixth) && !g.hasEvidence(t, third), "a release makes room again")
}

func TestEvidenceIsMeasuredOnStartAndExpires(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	held, released := d.Run(t, testenv.ContainerOptions{}), d.Run(t, testenv.ContainerOptions{})
	for _, id := range []string{held, released} {
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	}
	g.release(t, released)
	notes := filepath.Join(g.dir, "evidence", "notes.txt")
	require.NoError(t, os.WriteFile(notes, []byte("a person's"), 0o600))
	longAgo := time.Now().Add(-48 * time.Hour)
	for _, dir := range []string{held, released} {
		g.age(t, dir, longAgo)
	}
	require.NoError(t, os.Chtimes(notes, longAgo, longAgo))

	again, err := quarantine.Open(quarantine.Options{Docker: g.client, DataDir: g.dir, Host: "test", Report: g.report})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, again.Close()) })
	require.Equal(t, 3, again.Evidence().Actions)
	require.InDelta(t, g.manager.Evidence().Bytes+4096, again.Evidence().Bytes, 4*4096, "manifests count with their real size, and the notes with theirs")
	again.SetEvidenceLimits(quarantine.EvidenceLimits{Retention: 49 * time.Hour})
	again.Sweep(t.Context())
	require.True(t, g.hasEvidence(t, held) && g.hasEvidence(t, released))
	again.SetEvidenceLimits(quarantine.EvidenceLimits{Retention: 47 * time.Hour})
	again.Sweep(t.Context())
	require.True(t, g.hasEvidence(t, held), "whatever its age")
	require.False(t, g.hasEvidence(t, released))
	require.FileExists(t, notes)
	again.SetEvidenceLimits(quarantine.EvidenceLimits{MaxBytes: 1})
	again.Sweep(t.Context())
	require.True(t, g.hasEvidence(t, held), "whatever the limit")
}

func TestEvidenceAgeCountsFromRelease(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	id := d.Run(t, testenv.ContainerOptions{})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	g.age(t, id, time.Now().Add(-48*time.Hour))
	reopened := func(do func(*quarantine.Manager)) {
		m, err := quarantine.Open(quarantine.Options{Docker: g.client, DataDir: g.dir, Host: "test", Report: g.report})
		require.NoError(t, err)
		do(m)
		m.SetEvidenceLimits(quarantine.EvidenceLimits{Retention: time.Hour})
		m.Sweep(t.Context())
		require.True(t, g.hasEvidence(t, id))
		require.NoError(t, m.Close())
	}
	reopened(func(m *quarantine.Manager) {
		_, err := m.Release(t.Context(), id, "all clear", "")
		require.NoError(t, err)
	})
	reopened(func(m *quarantine.Manager) { require.Empty(t, m.List()) })
}

func TestForeignFilesBesideEvidenceAreKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	longAgo := time.Now().Add(-48 * time.Hour)
	folders := map[string]bool{"case-17": true, "lost+found": true, "copy-of-act": true, "act-one": false, strings.Repeat("0a", 16): false}
	for name := range folders {
		path := filepath.Join(dir, "evidence", name)
		require.NoError(t, os.MkdirAll(path, 0o700))
		if strings.Contains(name, "act") {
			require.NoError(t, os.WriteFile(filepath.Join(path, "manifest.json"), []byte(`{"action":"act-one"}`), 0o600))
			require.NoError(t, os.Chtimes(filepath.Join(path, "manifest.json"), longAgo, longAgo))
		}
		require.NoError(t, os.Chtimes(path, longAgo, longAgo))
	}
	m := openAt(t, dir)
	m.SetEvidenceLimits(quarantine.EvidenceLimits{MaxBytes: 1, Retention: time.Hour})
	m.Sweep(t.Context())
	left, err := os.ReadDir(filepath.Join(dir, "evidence"))
	require.NoError(t, err)
	require.Len(t, left, 3)
	for _, f := range left {
		require.True(t, folders[f.Name()], f.Name())
	}
	require.Equal(t, uint64(2), m.Evidence().Removed)
	require.Equal(t, 3, m.Evidence().Actions)
}

func TestEvidenceOfDamagedEntryIsKept(t *testing.T) {
	t.Parallel()
	dir, id, action := t.TempDir(), strings.Repeat("0", 64), strings.Repeat("0a", 16)
	for name, content := range map[string]string{"quarantine/" + id + ".json": "{", "evidence/" + action + "/manifest.json": `{"container":"` + id + `"}`} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	for range 2 { // also after the start that moves the entry aside
		m := openAt(t, dir)
		m.SetEvidenceLimits(quarantine.EvidenceLimits{MaxBytes: 1})
		m.Sweep(t.Context())
		require.DirExists(t, filepath.Join(dir, "evidence", action))
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "quarantine", id+".json.damaged")))
	m := openAt(t, dir)
	m.SetEvidenceLimits(quarantine.EvidenceLimits{MaxBytes: 1})
	m.Sweep(t.Context())
	require.NoDirExists(t, filepath.Join(dir, "evidence", action), "an operator has removed the damaged entry")
}

func TestUnreadableEvidenceFolderDoesNotStopGuard(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "evidence"), []byte("a file"), 0o600))
	m := openAt(t, dir)
	require.NoError(t, m.Apply(t.Context(), (&guard{}).order(strings.Repeat("0", 64), quarantine.Pause)))
	require.Contains(t, m.EvidenceReason(), "evidence: not a directory")
}

// age sets the time of the evidence of a container's isolation.
func (g *guard) age(t *testing.T, id string, to time.Time) {
	t.Helper()
	path := filepath.Join(g.dir, "evidence", g.order(id, quarantine.Isolate).ActionID)
	require.NoError(t, filepath.WalkDir(path, func(name string, _ fs.DirEntry, err error) error {
		require.NoError(t, err)
		return os.Chtimes(name, to, to)
	}))
}

func TestLogEvidenceIsCutAtMaxBytes(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	const limit = 256 << 10
	g := newGuard(t, d, func(o *quarantine.Options) { o.Evidence.MaxBytes = limit })
	id := d.Run(t, testenv.ContainerOptions{Cmd: []string{"/bin/sh", "-c", "yes 0123456789012345678901234567890123456789 | head -n 9000; sleep 3600"}})
	require.Eventually(t, func() bool { return len(d.Logs(t, id)) > 9000*41-1 }, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	require.True(t, g.isolated(t, id))
	m := manifest(t, g.dir, g.order(id, quarantine.Isolate).ActionID)
	require.True(t, m.Partial)
	for _, p := range m.Pieces {
		if p.File == "logs.jsonl" {
			require.Contains(t, p.Error, "container.evidence_max_bytes")
			require.Greater(t, p.Size, int64(100_000), "what fits is kept")
		}
	}
	require.LessOrEqual(t, g.evidenceBytes(t), int64(limit))
	require.Equal(t, uint64(1), g.manager.Evidence().Refused)
}
