package safety_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/containerguard/folder"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, dir string, l safety.Limits) *safety.State {
	t.Helper()
	m, trouble, err := safety.OpenState(files(t, dir), l)
	require.NoError(t, err)
	require.Empty(t, trouble)
	return m
}

func files(t testing.TB, dir string) *folder.Folder {
	t.Helper()
	f, err := folder.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func memory(t testing.TB, l safety.Limits) *safety.State {
	return open(t, t.TempDir(), l)
}

func take(t testing.TB, m *safety.State, a safety.Candidate, at time.Time) string {
	t.Helper()
	return m.Admit(a, at)
}

var wide = safety.Limits{PerMinute: 1000, PerProject: 1000, Share: 100}

func TestPerMinuteIsASlidingWindow(t *testing.T) {
	t.Parallel()
	l := wide
	l.PerMinute = 2
	m := memory(t, l)
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	ask := func(id string) safety.Candidate { return safety.Candidate{Container: id, Running: 100} }
	require.Empty(t, take(t, m, ask("a"), at(0)))
	require.Empty(t, take(t, m, ask("b"), at(30)))
	require.Contains(t, take(t, m, ask("c"), at(59)), "container.max_per_minute")
	require.Empty(t, take(t, m, ask("a"), at(59)), "what is held already is not counted again")
	require.Empty(t, take(t, m, ask("c"), at(60)))
	require.Contains(t, take(t, m, ask("d"), at(61)), "container.max_per_minute")
	m.Remove("b")
	require.Contains(t, take(t, m, ask("d"), at(62)), "container.max_per_minute", "letting go does not make room in the minute")
}

func TestPerProjectCountsWhatIsHeld(t *testing.T) {
	t.Parallel()
	l := wide
	l.PerProject = 2
	m := memory(t, l)
	ask := func(id, project string) safety.Candidate {
		return safety.Candidate{Container: id, Project: project, Running: 100}
	}
	require.Empty(t, take(t, m, ask("a", "shop"), now))
	require.Empty(t, take(t, m, ask("b", "shop"), now))
	require.Contains(t, take(t, m, ask("c", "shop"), now.Add(time.Hour)), `"shop"`)
	require.Empty(t, take(t, m, ask("d", "blog"), now))
	require.Empty(t, take(t, m, ask("e", ""), now))
	m.Remove("a")
	require.Empty(t, take(t, m, ask("c", "shop"), now))
}

func TestShareOfTheRunningContainers(t *testing.T) {
	t.Parallel()
	l := wide
	l.Share = 30
	m := memory(t, l)
	for i := range 3 {
		require.Empty(t, take(t, m, safety.Candidate{Container: fmt.Sprint(i), Running: 10}, now))
	}
	require.Contains(t, take(t, m, safety.Candidate{Container: "3", Running: 10}, now), "30% of 10")
	require.Empty(t, take(t, memory(t, l), safety.Candidate{Container: "only", Running: 1}, now), "one may always be held")
}

func TestWouldChangesNothing(t *testing.T) {
	t.Parallel()
	l := wide
	l.PerMinute = 1
	m := memory(t, l)
	for range 10 {
		require.Empty(t, m.Check(safety.Candidate{Container: "a", Running: 9}, now))
	}
	require.Zero(t, m.Count())
}

func TestTheMemoryOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := safety.Limits{PerMinute: 2, PerProject: 2, Share: 100}
	m := open(t, dir, l)
	require.Empty(t, take(t, m, safety.Candidate{Container: "a", Project: "shop", Running: 9}, now))
	require.Empty(t, take(t, m, safety.Candidate{Container: "b", Project: "shop", Running: 9}, now))
	require.Zero(t, m.StartCooldown("p|a", "alert", time.Hour, now))
	require.NoError(t, m.Save())

	m = open(t, dir, l)
	require.Equal(t, 2, m.Count())
	require.Contains(t, take(t, m, safety.Candidate{Container: "c", Running: 9}, now), "max_per_minute")
	require.Contains(t, take(t, m, safety.Candidate{Container: "c", Project: "shop", Running: 9}, now.Add(time.Hour)), "max_per_project")
	require.Empty(t, take(t, m, safety.Candidate{Container: "a", Project: "shop", Running: 9}, now))
	require.Equal(t, now.Add(time.Hour), m.StartCooldown("p|a", "other", time.Hour, now))
	require.Zero(t, m.StartCooldown("p|a", "alert", time.Hour, now), "the alert itself may come again")
	require.Zero(t, m.StartCooldown("p|a", "other", time.Hour, now.Add(time.Hour)))
	require.Zero(t, m.StartCooldown("p|b", "one", 0, now))
	require.Zero(t, m.StartCooldown("p|b", "two", 0, now), "no cooldown")
	info, err := os.Stat(filepath.Join(dir, "memory.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// TestCapsAreExactUnderConcurrency also opens the file anew after every round: what
// was granted must be on disk.
func TestCapsAreExactUnderConcurrency(t *testing.T) {
	t.Parallel()
	for round := range 20 {
		dir := t.TempDir()
		l := safety.Limits{PerMinute: 1 + rand.IntN(40), PerProject: 1 + rand.IntN(10), Share: 1 + rand.IntN(100)}
		const containers, projects = 50, 5
		m := open(t, dir, l)
		var granted atomic.Int32
		var perProject [projects]atomic.Int32
		var wg sync.WaitGroup
		for i := range containers * 2 { // every container twice
			wg.Go(func() {
				id, project := i%containers, i%containers%projects
				refused := m.Admit(safety.Candidate{Container: fmt.Sprint(id), Project: fmt.Sprint(project), Running: containers}, now)
				if m.Save() == nil && refused == "" && i < containers {
					granted.Add(1)
					perProject[project].Add(1)
				}
			})
		}
		wg.Wait()
		want := min(l.PerMinute, l.PerProject*projects, max(1, containers*l.Share/100))
		require.Equal(t, want, m.Count(), "round %d, %+v", round, l)
		require.Equal(t, want, open(t, dir, l).Count(), "on disk")
		for p := range perProject {
			require.LessOrEqual(t, int(perProject[p].Load()), l.PerProject)
		}
	}
}

func TestKeepFollowsTheLedger(t *testing.T) {
	t.Parallel()
	m := memory(t, wide)
	require.Empty(t, take(t, m, safety.Candidate{Container: "released", Running: 9}, now))
	require.Empty(t, take(t, m, safety.Candidate{Container: "fresh", Running: 9}, now.Add(time.Hour)))
	m.SyncWithLedger([]safety.LedgerEntry{{Container: "by-hand", Project: "shop", Since: now.Add(time.Hour)}}, now.Add(time.Hour))
	require.Equal(t, 2, m.Count(), "a fresh take may be ahead of the ledger")
	l := wide
	l.PerMinute = 2
	m.SetLimits(l)
	require.Contains(t, take(t, m, safety.Candidate{Container: "x", Running: 9}, now.Add(time.Hour)), "max_per_minute", "what a crash made forget counts again")
	l = wide
	l.PerProject = 1
	m.SetLimits(l)
	require.Contains(t, take(t, m, safety.Candidate{Container: "x", Project: "shop", Running: 9}, now), "max_per_project")
	m.SyncWithLedger(nil, now.Add(2*time.Hour))
	require.Zero(t, m.Count())
}

func TestReplacementsAreHeldButNotNewlyActedOn(t *testing.T) {
	t.Parallel()
	l := wide
	l.PerMinute = 2
	m := memory(t, l)
	for i := range 10 { // one service, made anew again and again
		m.SyncWithLedger([]safety.LedgerEntry{{Container: fmt.Sprint("web-", i), Project: "shop", Since: now, Replaces: i > 0}}, now)
	}
	require.Empty(t, take(t, m, safety.Candidate{Container: "other", Running: 99}, now), "others can be acted on all the same")
	l.PerMinute, l.PerProject = 9, 1
	m.SetLimits(l)
	require.Contains(t, take(t, m, safety.Candidate{Container: "x", Project: "shop", Running: 99}, now), "max_per_project", "what is held is held")
}

func TestADamagedMemoryIsMovedAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "memory.json")
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	m, trouble, err := safety.OpenState(files(t, dir), wide)
	require.NoError(t, err)
	require.Contains(t, trouble, "damaged")
	require.Empty(t, take(t, m, safety.Candidate{Container: "a", Running: 9}, now))
	aside, err := filepath.Glob(path + ".bad-*")
	require.NoError(t, err)
	require.Len(t, aside, 1)
}

func TestAFolderInPlaceOfTheMemoryIsMovedAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "memory.json"), 0o700))
	m, trouble, err := safety.OpenState(files(t, dir), wide)
	require.NoError(t, err)
	require.Contains(t, trouble, "not a regular file")
	require.Empty(t, take(t, m, safety.Candidate{Container: "a", Running: 9}, now))
	require.NoError(t, m.Save())
}

func TestALinkIsNotFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "memory.json")
	require.NoError(t, os.WriteFile(victim, []byte("{}"), 0o600))
	require.NoError(t, os.Symlink(victim, path))
	_, trouble, err := safety.OpenState(files(t, dir), wide)
	require.NoError(t, err)
	require.Contains(t, trouble, "not a regular file")
	require.NoFileExists(t, path, "it was moved aside")

	require.NoError(t, os.Symlink(victim, filepath.Join(dir, ".memory.json")))
	m := open(t, dir, wide)
	require.Empty(t, take(t, m, safety.Candidate{Container: "a", Running: 9}, now))
	require.NoError(t, m.Save())
	data, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "{}", string(data))
}

// TestADiskThatFailsDoesNotDisarm: whoever fills the disk must not be safe from the guard.
func TestADiskThatFailsDoesNotDisarm(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "gone")
	l := wide
	l.PerMinute = 1
	m := open(t, dir, l)
	require.NoError(t, os.Remove(dir))
	require.Empty(t, take(t, m, safety.Candidate{Container: "a", Running: 9}, now))
	require.Error(t, m.Save())
	require.Contains(t, take(t, m, safety.Candidate{Container: "b", Running: 9}, now), "max_per_minute", "the caps hold all the same")
}

func TestCooldownsAreBounded(t *testing.T) {
	t.Parallel()
	m := memory(t, wide)
	for i := range 2_100 {
		require.Zero(t, m.StartCooldown(fmt.Sprint(i), "a", time.Duration(i+1)*time.Minute, now))
	}
	require.NotZero(t, m.StartCooldown("2099", "b", time.Minute, now))
	require.Zero(t, m.StartCooldown("0", "b", time.Minute, now), "the one that ends first went")
}
