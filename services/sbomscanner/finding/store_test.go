package finding_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/finding"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

// rig is a store whose alerts are one for a digest and one for each finding that is reported alone.
type rig struct {
	t       *testing.T
	dir     string
	store   *finding.Store
	now     time.Time
	ignored map[string]string // by the finding's id
	unknown bool
	stored  []string // titles of the alerts that the bus has stored
}

var asset = inventory.Asset{Kind: inventory.Directory, Name: "/srv/app"}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: filepath.Join(t.TempDir(), "findings"), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), ignored: map[string]string{}}
	r.open()
	t.Cleanup(func() { require.NoError(t, r.store.Close()) })
	return r
}

func (r *rig) open() {
	r.t.Helper()
	s, problems, err := finding.OpenStore(r.dir)
	require.NoError(r.t, err)
	require.Empty(r.t, problems)
	r.store = s
}

// restart reads the store again, as after kill -9.
func (r *rig) restart() {
	r.t.Helper()
	require.NoError(r.t, r.store.Close())
	r.open()
}

func (r *rig) observe(found ...match.Finding) {
	r.t.Helper()
	r.now = r.now.Add(time.Minute)
	_, err := r.store.Observe(finding.Observation{
		Asset: asset, Result: &match.Result{Findings: found}, Time: r.now,
		Unknown:    func(finding.Finding) bool { return r.unknown },
		Ignored:    func(f finding.Finding) string { return r.ignored[f.ID] },
		Thresholds: finding.Thresholds{Report: event.Medium, Alone: event.Critical},
	}, func(report finding.Report) []*event.Alert {
		var out []*event.Alert
		digest := "digest:"
		for _, f := range report.Digest {
			digest += " " + f.ID
		}
		if len(report.Digest) > 0 {
			out = append(out, alert(digest, report.Digest...))
		}
		for _, f := range report.Alone {
			out = append(out, alert("alone: "+f.ID, f))
		}
		return out
	})
	require.NoError(r.t, err)
}

func alert(title string, about ...finding.Finding) *event.Alert {
	parts := []string{title}
	for _, f := range about {
		parts = append(parts, f.Key, strconv.Itoa(f.Generation))
	}
	return &event.Alert{ID: event.ID(parts...), Title: title}
}

// publish stores the waiting alerts and returns their titles.
func (r *rig) publish() []string {
	r.t.Helper()
	var titles []string
	ids := map[string]bool{}
	for _, a := range r.store.Waiting(1000) {
		titles = append(titles, a.Title)
		ids[a.ID] = true
	}
	require.NoError(r.t, r.store.Published(ids, r.now))
	require.Empty(r.t, r.store.Waiting(1000))
	r.stored = append(r.stored, titles...)
	return titles
}

func (r *rig) states() map[string]finding.State {
	out := map[string]finding.State{}
	for _, f := range r.store.Asset(asset.Key()).Findings {
		out[f.ID] = f.State
	}
	return out
}

func vulnerable(severity event.Severity, id string, aliases ...string) match.Finding {
	return match.Finding{PURL: "pkg:npm/a@1", Name: "a", Version: "1", ID: id, IDs: []string{id}, Aliases: aliases, Severity: severity}
}

type states = map[string]finding.State

func TestLifeOfAFinding(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := vulnerable(event.High, "A"), vulnerable(event.Low, "B")
	r.observe(a, b)
	require.Equal(t, states{"A": finding.New, "B": finding.Open}, r.states(), "low is below what is reported")
	r.restart()
	require.Equal(t, []string{"digest: A"}, r.publish())
	require.Equal(t, states{"A": finding.Open, "B": finding.Open}, r.states())
	r.restart()
	r.observe(a, b)
	require.Empty(t, r.publish(), "nothing is new")
	r.observe(b)
	require.Equal(t, states{"A": finding.Fixed, "B": finding.Open}, r.states())
	r.restart()
	r.observe(a, b)
	require.Equal(t, finding.Reopened, r.states()["A"])
	require.Equal(t, []string{"digest: A"}, r.publish())

	b.Severity = event.Critical
	r.observe(a, b)
	require.Equal(t, []string{"digest: B", "alone: B"}, r.publish(), "raised above what is reported")
	a.KEV = true
	r.observe(a, b)
	require.Equal(t, []string{"alone: A"}, r.publish(), "known to be exploited since")
	r.observe(a, b)
	require.Empty(t, r.publish())

	r.unknown = true
	r.observe()
	require.Equal(t, states{"A": finding.Open, "B": finding.Open}, r.states(), "what could not be assessed is not fixed")
}

func TestIgnoredFindingIsReportedWhenTheEntryEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ignored["A"] = "not reachable"
	a, b := vulnerable(event.High, "A"), vulnerable(event.High, "B")
	r.observe(a, b)
	require.Equal(t, []string{"digest: B"}, r.publish())
	r.ignored = map[string]string{"B": "accepted"}
	r.observe(a, b)
	require.Equal(t, states{"A": finding.New, "B": finding.Ignored}, r.states())
	require.Equal(t, []string{"digest: A"}, r.publish())
	r.ignored = nil
	r.observe(a, b)
	require.Equal(t, finding.Reopened, r.states()["B"], "it had been reported")
	require.Equal(t, []string{"digest: B"}, r.publish())
}

// Whatever becomes of the aliases, what was reported is not reported again.
func TestAliasesAreNoNews(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][][]match.Finding{
		"added":        {{vulnerable(event.High, "GHSA-1")}, {vulnerable(event.High, "CVE-1", "GHSA-1")}, {vulnerable(event.High, "CVE-1", "GHSA-1", "GO-1")}},
		"merged":       {{vulnerable(event.High, "CVE-1"), vulnerable(event.High, "GHSA-1")}, {vulnerable(event.High, "CVE-1", "GHSA-1")}},
		"split":        {{vulnerable(event.High, "CVE-1", "GHSA-1")}, {vulnerable(event.High, "CVE-1"), vulnerable(event.High, "GHSA-1")}},
		"replaced":     {{vulnerable(event.High, "CVE-1", "GHSA-1")}, {vulnerable(event.High, "GHSA-1", "GO-1")}, {vulnerable(event.High, "GO-1")}},
		"split, again": {{vulnerable(event.High, "A", "B", "C")}, {vulnerable(event.High, "B"), vulnerable(event.High, "C")}, {vulnerable(event.High, "A", "B", "C")}, {vulnerable(event.High, "A"), vulnerable(event.High, "B"), vulnerable(event.High, "C")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.observe(steps[0]...)
			require.Len(t, r.publish(), 1)
			for _, found := range steps[1:] {
				r.restart()
				r.observe(found...)
				require.Empty(t, r.publish())
				for _, f := range r.store.Asset(asset.Key()).Findings {
					require.Equal(t, finding.Open, f.State)
				}
			}
			last := steps[len(steps)-1]
			require.Len(t, r.store.Asset(asset.Key()).Findings, len(last))
			keys := map[string]bool{}
			for _, f := range r.store.Asset(asset.Key()).Findings {
				keys[f.Key] = true
			}
			require.Len(t, keys, len(last))
			r.observe()
			for _, f := range r.store.Asset(asset.Key()).Findings {
				require.Equal(t, finding.Fixed, f.State)
			}
		})
	}
}

// Over random changes, restarts and outages of the bus every appearance is reported once.
func TestEveryAppearanceIsReportedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	random := rand.New(rand.NewPCG(1, 2))
	present, appearances := map[string]bool{}, map[string]int{}
	ids := map[string]bool{}
	for range 300 {
		for n := range 20 {
			id := fmt.Sprintf("CVE-%d", n)
			if random.IntN(10) == 0 {
				present[id] = !present[id]
				if present[id] {
					appearances[id]++
				}
			}
		}
		var found []match.Finding
		for _, id := range slices.Sorted(mapsKeys(present)) {
			f := vulnerable(event.Critical, id)
			if random.IntN(2) == 0 {
				f.Aliases = []string{"GHSA-" + id}
			}
			found = append(found, f)
		}
		r.observe(found...)
		if random.IntN(3) == 0 {
			r.restart()
		}
		if random.IntN(4) == 0 {
			for _, a := range r.store.Waiting(5000) {
				require.False(t, ids[a.ID], "an id twice")
				ids[a.ID] = true
			}
			r.publish()
		}
	}
	r.publish()
	got := map[string]int{}
	for _, title := range r.stored {
		var id string
		if n, _ := fmt.Sscanf(title, "alone: %s", &id); n == 1 {
			got[id]++
		}
	}
	require.Equal(t, appearances, got)
}

func mapsKeys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k, v := range m {
			if v && !yield(k) {
				return
			}
		}
	}
}

func TestDamagedFilesAreMovedAside(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.observe(vulnerable(event.High, "A"))
	files, err := filepath.Glob(filepath.Join(r.dir, "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files[0], data[:len(data)/2], 0o600))
	other, problems, err := finding.OpenStore(r.dir)
	require.NoError(t, err)
	require.Len(t, problems, 1)
	require.Contains(t, problems[0], "damaged")
	require.Empty(t, other.Assets())
	require.FileExists(t, files[0]+".bad")
	require.NoError(t, other.Close())
}

func TestStaleIsSaidOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, r.store.Stale("g1", alert("stale")))
	r.restart()
	require.NoError(t, r.store.Stale("g1", alert("stale")))
	require.Equal(t, []string{"stale"}, r.publish())
	require.NoError(t, r.store.Reached(7))
	r.restart()
	require.EqualValues(t, 7, r.store.LastSeq())
	require.NoError(t, r.store.Fresh())
	require.NoError(t, r.store.Stale("g1", alert("stale again")))
	require.Len(t, r.publish(), 1)
}

func TestUnseenAssetsAreForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.observe(vulnerable(event.High, "A"))
	late := r.now.Add(31 * 24 * time.Hour)
	gone, err := r.store.Prune(late)
	require.NoError(t, err)
	require.Empty(t, gone, "an alert about it waits")
	r.publish()
	require.NoError(t, r.store.Seen(asset.Key(), r.now.Add(25*time.Hour)))
	gone, err = r.store.Prune(late)
	require.NoError(t, err)
	require.Empty(t, gone)
	gone, err = r.store.Prune(late.Add(48 * time.Hour))
	require.NoError(t, err)
	require.Equal(t, []string{asset.Key()}, gone)
	r.restart()
	require.Empty(t, r.store.Assets())
}

// Thousands of vulnerabilities of one package, such as a kernel, take time in proportion.
// Who may write in one folder of an asset can make any number of findings that are worse than those of others.
func TestNobodyCrowdsOutTheFindingsOfOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var found []match.Finding
	for n := range 200 {
		f := vulnerable(event.Critical, fmt.Sprintf("CVE-%03d", n))
		f.KEV, f.Locations = true, []string{"a/package-lock.json"}
		found = append(found, f)
	}
	victim, shared := vulnerable(event.High, "CVE-victim"), vulnerable(event.High, "CVE-shared")
	victim.Locations = []string{"home/package-lock.json"}
	for n := range 20 {
		shared.Locations = append(shared.Locations, fmt.Sprintf("a/%02d/package-lock.json", n))
	}
	shared.Locations = append(shared.Locations, "home/2/package-lock.json")
	r.observe(append(found, victim, shared)...)
	all := slices.SortedFunc(slices.Values(r.store.Asset(asset.Key()).Findings), finding.WorstFirst)
	few := finding.Fair(all, 100)
	require.Len(t, few, 100)
	require.True(t, few[0].KEV, "the worst first")
	ids := map[string]finding.Finding{}
	for _, f := range few {
		ids[f.ID] = f
	}
	require.Contains(t, ids, "CVE-victim")
	require.Len(t, ids["CVE-shared"].Locations, 8)
	require.Contains(t, ids["CVE-shared"].Locations, "home/2/package-lock.json")
}

func TestAssetsThatAreOverMakeRoom(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	image := func(n int) inventory.Asset {
		return inventory.Asset{Kind: inventory.Image, Name: "x", Digest: fmt.Sprint("sha256:", n)}
	}
	observe := func(n int) error {
		r.now = r.now.Add(time.Second)
		_, err := r.store.Observe(finding.Observation{
			Asset: image(n), Result: &match.Result{}, Time: r.now,
			Unknown: func(finding.Finding) bool { return false }, Ignored: func(finding.Finding) string { return "" },
		}, nil)
		return err
	}
	for n := range finding.MaxAssets {
		require.NoError(t, observe(n))
	}
	require.ErrorIs(t, observe(finding.MaxAssets), finding.ErrTooMany)
	key, err := r.store.ForgetOldest(func(inventory.Asset) bool { return false })
	require.NoError(t, err)
	require.Empty(t, key)
	key, err = r.store.ForgetOldest(func(a inventory.Asset) bool { return a.Digest != image(0).Digest })
	require.NoError(t, err)
	require.Equal(t, image(1).Key(), key)
	require.NoError(t, observe(finding.MaxAssets))
}

func TestFixedFindingsDoNotFillTheStore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stays := vulnerable(event.Low, "CVE-stays")
	for round := range 6 {
		found := []match.Finding{stays}
		for n := range 1000 {
			found = append(found, vulnerable(event.Low, fmt.Sprintf("CVE-%d-%d", round, n)))
		}
		r.observe(found...)
	}
	states := r.states()
	require.LessOrEqual(t, len(states), 1+1000+2000)
	require.Equal(t, finding.Open, states["CVE-stays"])
	require.Equal(t, finding.Fixed, states["CVE-4-0"], "the latest are kept")
	require.NotContains(t, states, "CVE-0-0")
}

func TestManyVulnerabilitiesOfOnePackage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var found []match.Finding
	for n := range 5000 {
		found = append(found, vulnerable(event.Low, fmt.Sprintf("CVE-%05d", n), fmt.Sprintf("GHSA-%05d", n)))
	}
	r.observe(found...)
	r.observe(found...) // again: each is known by its names
	require.Len(t, r.states(), 5000)
}

func FuzzDecodeAsset(f *testing.F) {
	f.Add([]byte(`{"version":1,"kind":"directory","name":"/a","findings":[{"purl":"pkg:npm/a@1","key":"k","names":["CVE-1"],"state":"open"}],"outbox":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := finding.DecodeAsset(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(struct {
			Version int `json:"version"`
			*finding.Asset
		}{1, a})
		require.NoError(t, err)
		_, err = finding.DecodeAsset(again)
		require.NoError(t, err)
	})
}
