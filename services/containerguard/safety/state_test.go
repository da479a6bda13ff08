package safety_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/folder"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, dir string, l safety.Limits) *safety.State {
	t.Helper()
	s, damage, err := safety.OpenState(files(t, dir), l)
	require.NoError(t, err)
	require.Empty(t, damage)
	return s
}

func files(t testing.TB, dir string) *folder.Folder {
	t.Helper()
	f, err := folder.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func newState(t testing.TB, l safety.Limits) *safety.State {
	return open(t, t.TempDir(), l)
}

var wide = safety.Limits{PerMinute: 1000, PerProject: 1000, Share: 100}

func TestPerMinuteCapIsASlidingWindow(t *testing.T) {
	t.Parallel()
	l := wide
	l.PerMinute = 2
	s := newState(t, l)
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	candidate := func(id string) safety.Candidate { return safety.Candidate{Container: id, Running: 100} }
	require.Empty(t, s.Admit(candidate("a"), at(0)))
	require.Empty(t, s.Admit(candidate("b"), at(30)))
	require.Contains(t, s.Admit(candidate("c"), at(59)), "container.max_per_minute")
	require.Empty(t, s.Admit(candidate("a"), at(59)), "an isolated container is not counted again")
	require.Empty(t, s.Admit(candidate("c"), at(60)))
	require.Contains(t, s.Admit(candidate("d"), at(61)), "container.max_per_minute")
	s.Remove("b")
	require.Contains(t, s.Admit(candidate("d"), at(62)), "container.max_per_minute", "a release makes no room within the minute")
}

func TestPerProjectCapCountsIsolatedContainers(t *testing.T) {
	t.Parallel()
	l := wide
	l.PerProject = 2
	s := newState(t, l)
	candidate := func(id, project string) safety.Candidate {
		return safety.Candidate{Container: id, Project: project, Running: 100}
	}
	require.Empty(t, s.Admit(candidate("a", "shop"), now))
	require.Empty(t, s.Admit(candidate("b", "shop"), now))
	require.Contains(t, s.Admit(candidate("c", "shop"), now.Add(time.Hour)), `"shop"`)
	require.Empty(t, s.Admit(candidate("d", "blog"), now))
	require.Empty(t, s.Admit(candidate("e", ""), now))
	s.Remove("a")
	require.Empty(t, s.Admit(candidate("c", "shop"), now))
}

func TestShareCapCountsRunningContainers(t *testing.T) {
	t.Parallel()
	l := wide
	l.Share = 30
	s := newState(t, l)
	for i := range 3 {
		require.Empty(t, s.Admit(safety.Candidate{Container: fmt.Sprint(i), Running: 10}, now))
	}
	require.Contains(t, s.Admit(safety.Candidate{Container: "3", Running: 10}, now), "30% of 10")
	require.Empty(t, newState(t, l).Admit(safety.Candidate{Container: "only", Running: 1}, now), "one may always be isolated")
}

func TestCheckChangesNothing(t *testing.T) {
	t.Parallel()
	l := wide
	l.PerMinute = 1
	s := newState(t, l)
	for range 10 {
		require.Empty(t, s.Check(safety.Candidate{Container: "a", Running: 9}, now))
	}
	require.Zero(t, s.Count())
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := safety.Limits{PerMinute: 2, PerProject: 2, Share: 100}
	s := open(t, dir, l)
	require.Empty(t, s.Admit(safety.Candidate{Container: "a", Project: "shop", Running: 9}, now))
	require.Empty(t, s.Admit(safety.Candidate{Container: "b", Project: "shop", Running: 9}, now))
	require.Zero(t, s.StartCooldown("p|a", "alert", 0, time.Hour, now))
	require.NoError(t, s.Save())

	s = open(t, dir, l)
	require.Equal(t, 2, s.Count())
	require.Contains(t, s.Admit(safety.Candidate{Container: "c", Running: 9}, now), "max_per_minute")
	require.Contains(t, s.Admit(safety.Candidate{Container: "c", Project: "shop", Running: 9}, now.Add(time.Hour)), "max_per_project")
	require.Empty(t, s.Admit(safety.Candidate{Container: "a", Project: "shop", Running: 9}, now))
	require.Equal(t, now.Add(time.Hour), s.StartCooldown("p|a", "other", 0, time.Hour, now))
	require.Zero(t, s.StartCooldown("p|a", "alert", 0, time.Hour, now), "the alert itself may be delivered again")
	require.Zero(t, s.StartCooldown("p|a", "other", 0, time.Hour, now.Add(time.Hour)))
	require.Zero(t, s.StartCooldown("p|b", "one", 0, 0, now))
	require.Zero(t, s.StartCooldown("p|b", "two", 0, 0, now), "no cooldown")
	info, err := os.Stat(filepath.Join(dir, "state.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// TestCapsAreExactUnderConcurrency also opens the file again after every round: each
// admission must be on disk.
func TestCapsAreExactUnderConcurrency(t *testing.T) {
	t.Parallel()
	for round := range 20 {
		dir := t.TempDir()
		l := safety.Limits{PerMinute: 1 + rand.IntN(40), PerProject: 1 + rand.IntN(10), Share: 1 + rand.IntN(100)}
		const containers, projects = 50, 5
		s := open(t, dir, l)
		var admitted atomic.Int32
		var perProject [projects]atomic.Int32
		var wg sync.WaitGroup
		for i := range containers * 2 { // every container twice
			wg.Go(func() {
				id, project := i%containers, i%containers%projects
				refused := s.Admit(safety.Candidate{Container: fmt.Sprint(id), Project: fmt.Sprint(project), Running: containers}, now)
				if s.Save() == nil && refused == "" && i < containers {
					admitted.Add(1)
					perProject[project].Add(1)
				}
			})
		}
		wg.Wait()
		want := min(l.PerMinute, l.PerProject*projects, max(1, containers*l.Share/100))
		require.Equal(t, want, s.Count(), "round %d, %+v", round, l)
		require.Equal(t, want, open(t, dir, l).Count(), "on disk")
		for p := range perProject {
			require.LessOrEqual(t, int(perProject[p].Load()), l.PerProject)
		}
	}
}

func TestSyncWithLedgerAddsAndRemoves(t *testing.T) {
	t.Parallel()
	s := newState(t, wide)
	require.Empty(t, s.Admit(safety.Candidate{Container: "released", Running: 9}, now))
	require.Empty(t, s.Admit(safety.Candidate{Container: "fresh", Running: 9}, now.Add(time.Hour)))
	s.SyncWithLedger([]safety.LedgerEntry{{Container: "by-hand", Project: "shop", Since: now.Add(time.Hour)}}, now.Add(time.Hour))
	require.Equal(t, 2, s.Count(), "a new admission may be ahead of the ledger")
	l := wide
	l.PerMinute = 2
	s.SetLimits(l)
	require.Contains(t, s.Admit(safety.Candidate{Container: "x", Running: 9}, now.Add(time.Hour)), "max_per_minute", "what a crash lost counts again")
	l = wide
	l.PerProject = 1
	s.SetLimits(l)
	require.Contains(t, s.Admit(safety.Candidate{Container: "x", Project: "shop", Running: 9}, now), "max_per_project")
	s.SyncWithLedger(nil, now.Add(2*time.Hour))
	require.Zero(t, s.Count())
}

func TestReplacementsCountAsIsolatedButNotAsAdmissions(t *testing.T) {
	t.Parallel()
	l := wide
	l.PerMinute = 2
	s := newState(t, l)
	for i := range 10 { // one service, recreated again and again
		s.SyncWithLedger([]safety.LedgerEntry{{Container: fmt.Sprint("web-", i), Project: "shop", Since: now, Replaces: i > 0}}, now)
	}
	require.Empty(t, s.Admit(safety.Candidate{Container: "other", Running: 99}, now), "others can still be admitted")
	l.PerMinute, l.PerProject = 9, 1
	s.SetLimits(l)
	require.Contains(t, s.Admit(safety.Candidate{Container: "x", Project: "shop", Running: 99}, now), "max_per_project", "replacements are isolated too")
}

func TestDamagedStateIsMovedAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	s, damage, err := safety.OpenState(files(t, dir), wide)
	require.NoError(t, err)
	require.Contains(t, damage, "damaged")
	require.Empty(t, s.Admit(safety.Candidate{Container: "a", Running: 9}, now))
	aside, err := filepath.Glob(path + ".bad-*")
	require.NoError(t, err)
	require.Len(t, aside, 1)
}

func TestDirectoryInPlaceOfTheStateIsMovedAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "state.json"), 0o700))
	s, damage, err := safety.OpenState(files(t, dir), wide)
	require.NoError(t, err)
	require.Contains(t, damage, "not a regular file")
	require.Empty(t, s.Admit(safety.Candidate{Container: "a", Running: 9}, now))
	require.NoError(t, s.Save())
}

func TestStateFollowsNoLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "state.json")
	require.NoError(t, os.WriteFile(victim, []byte("{}"), 0o600))
	require.NoError(t, os.Symlink(victim, path))
	_, damage, err := safety.OpenState(files(t, dir), wide)
	require.NoError(t, err)
	require.Contains(t, damage, "not a regular file")
	require.NoFileExists(t, path, "it was moved aside")

	require.NoError(t, os.Symlink(victim, filepath.Join(dir, ".state.json")))
	s := open(t, dir, wide)
	require.Empty(t, s.Admit(safety.Candidate{Container: "a", Running: 9}, now))
	require.NoError(t, s.Save())
	data, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "{}", string(data))
}

// An attacker who fills the disk must not be safe from the guard.
func TestStateWorksWhenTheDiskFails(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "gone")
	l := wide
	l.PerMinute = 1
	s := open(t, dir, l)
	require.NoError(t, os.Remove(dir))
	require.Empty(t, s.Admit(safety.Candidate{Container: "a", Running: 9}, now))
	require.Error(t, s.Save())
	require.Contains(t, s.Admit(safety.Candidate{Container: "b", Running: 9}, now), "max_per_minute", "the caps still hold")
}

func TestCooldownsAreBounded(t *testing.T) {
	t.Parallel()
	s := newState(t, wide)
	for i := range 2_100 {
		require.Zero(t, s.StartCooldown(fmt.Sprint(i), "a", 0, time.Duration(i+1)*time.Minute, now))
	}
	require.NotZero(t, s.StartCooldown("2099", "b", 0, time.Minute, now))
	require.Zero(t, s.StartCooldown("0", "b", 0, time.Minute, now), "the one that ends first was dropped")
}

func TestOldAdmissionsAreForgottenWithoutAlerts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, wide)
	for i := range 100 { // an operator isolates one container an hour
		at := now.Add(time.Duration(i) * time.Hour)
		s.SyncWithLedger([]safety.LedgerEntry{{Container: fmt.Sprint(i), Since: at}}, at)
	}
	require.NoError(t, s.Save())
	data, err := os.ReadFile(filepath.Join(dir, "state.json"))
	require.NoError(t, err)
	var file struct{ Recent []time.Time }
	require.NoError(t, json.Unmarshal(data, &file))
	require.Len(t, file.Recent, 1)
}

// A weak alert's cooldown is none for a stronger one, whose cooldown then holds for both.
func TestCooldownOfAWeakAlertDoesNotHoldAStrongerOne(t *testing.T) {
	t.Parallel()
	s := newState(t, wide)
	require.Zero(t, s.StartCooldown("p", "weak", 0, time.Hour, now))
	require.NotZero(t, s.StartCooldown("p", "as weak", 0, time.Hour, now))
	require.Zero(t, s.StartCooldown("p", "strong", 3, time.Hour, now.Add(time.Minute)))
	require.Equal(t, now.Add(time.Hour+time.Minute), s.StartCooldown("p", "weak", 0, time.Hour, now.Add(time.Minute)))
	require.NotZero(t, s.StartCooldown("p", "as strong", 3, time.Hour, now.Add(time.Minute)))
	for i := range 2_100 {
		require.Zero(t, s.StartCooldown(fmt.Sprint(i), "a", 0, 24*time.Hour, now))
	}
	require.NotZero(t, s.StartCooldown("p", "as strong", 3, time.Hour, now.Add(time.Minute)), "weaker ones gave way")
}

// A full list of cooldowns keeps the strong ones: a weak alert's is not begun.
func TestWeakCooldownEndsNoStrongOne(t *testing.T) {
	t.Parallel()
	const limit = 2_000
	s, _, err := safety.OpenState(files(t, t.TempDir()), safety.Limits{})
	require.NoError(t, err)
	for i := range limit {
		require.Zero(t, s.StartCooldown(fmt.Sprint("strong", i), "a", 3, time.Hour, now))
	}
	require.Zero(t, s.StartCooldown("weak", "a", 2, time.Hour, now))
	for i := range limit {
		require.NotZero(t, s.StartCooldown(fmt.Sprint("strong", i), "b", 3, time.Hour, now))
	}
	require.Zero(t, s.StartCooldown("as-strong", "a", 3, time.Hour, now))
	require.NotZero(t, s.StartCooldown("as-strong", "b", 3, time.Hour, now))
}
