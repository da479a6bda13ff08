package document_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/document"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

var monday = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func openFolder(t *testing.T, limits document.Limits) (*document.Folder, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), document.Subfolder)
	f, err := document.OpenFolder(path, limits)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f, path
}

// directory is an inventory of one folder with packages such as lodash@1.
func directory(name string, packages ...string) *inventory.Inventory {
	inv := &inventory.Inventory{Asset: inventory.Asset{Kind: inventory.Directory, Name: name}, Time: monday}
	for _, p := range packages {
		n, v, _ := strings.Cut(p, "@")
		inv.Packages = append(inv.Packages, inventory.Package{PURL: "pkg:npm/" + p, Name: n, Version: v, Locations: []string{"package-lock.json"}})
	}
	return inv
}

func store(t *testing.T, f *document.Folder, inv *inventory.Inventory, at time.Time) document.Stored {
	t.Helper()
	s, err := f.Store(inv, document.CycloneDX, document.Options{}, at)
	require.NoError(t, err)
	return s
}

func list(t *testing.T, f *document.Folder) []document.Entry {
	t.Helper()
	all, err := f.List()
	require.NoError(t, err)
	return all
}

func TestFolderKeepsCurrentAndPreviousDocuments(t *testing.T) {
	t.Parallel()
	f, path := openFolder(t, document.Limits{Previous: 2})
	first := store(t, f, directory("/srv/shop", "a@1"), monday)
	require.True(t, first.New)
	again := store(t, f, directory("/srv/shop", "a@1"), monday.Add(time.Hour))
	require.False(t, again.New, "nothing changed")
	require.Equal(t, first.Entry, again.Entry)
	for i := range 4 {
		s := store(t, f, directory("/srv/shop", fmt.Sprintf("a@%d", i+2)), monday) // the clock stands still
		require.Equal(t, i >= 2, s.Dropped["previous"] == 1)
	}
	store(t, f, directory("/srv/\x1b[31m\n", "b@1"), monday)
	all := list(t, f)
	require.Len(t, all, 4)
	require.Equal(t, []string{"/srv/?[31m?", "/srv/shop", "/srv/shop", "/srv/shop"}, []string{all[0].Asset, all[1].Asset, all[2].Asset, all[3].Asset})
	require.Equal(t, []bool{true, true, false, false}, []bool{all[0].Current, all[1].Current, all[2].Current, all[3].Current})
	_, inv, err := f.Read(all[1])
	require.NoError(t, err)
	require.Equal(t, "a@5", inv.Packages[0].Name+"@"+inv.Packages[0].Version, "the newest one first")

	files, err := os.ReadDir(path)
	require.NoError(t, err)
	require.Len(t, files, 5, "4 documents and the index")
	for _, file := range files {
		require.Regexp(t, `^([0-9a-f]{16}-[0-9]{8}T[0-9]{6}\.[0-9]{9}Z-[0-9a-f]{12}\.cdx\.json|index\.json)$`, file.Name())
		info, err := file.Info()
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	}
}

func TestFolderStaysWithinItsLimits(t *testing.T) {
	t.Parallel()
	f, _ := openFolder(t, document.Limits{Documents: 3})
	dropped := map[string]int{}
	for i := range 3 {
		for v := range 2 {
			s := store(t, f, directory(fmt.Sprintf("/srv/%d", i), fmt.Sprintf("a@%d", v)), monday.Add(time.Duration(10*i+v)*time.Hour))
			for reason, n := range s.Dropped {
				dropped[reason] += n
			}
		}
	}
	require.Equal(t, map[string]int{"documents": 3}, dropped)
	all := list(t, f)
	require.Equal(t, []string{"/srv/0", "/srv/1", "/srv/2"}, []string{all[0].Asset, all[1].Asset, all[2].Asset}, "previous documents go first")

	small, _ := openFolder(t, document.Limits{Bytes: 2 * all[0].Bytes})
	store(t, small, directory("/a", "a@1"), monday)
	store(t, small, directory("/b", "a@1"), monday.Add(1))
	require.Equal(t, map[string]int{"bytes": 1}, store(t, small, directory("/c", "a@1"), monday.Add(2)).Dropped)
	require.Equal(t, "/b", list(t, small)[0].Asset)
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("p%d@1", i))
	}
	_, err := small.Store(directory("/e", many...), document.SPDX, document.Options{}, monday)
	require.ErrorIs(t, err, document.ErrTooLarge)
}

// The index is derived: without it, and with a damaged one, the list is the same.
func TestListIsTheSameWithoutTheIndex(t *testing.T) {
	t.Parallel()
	f, path := openFolder(t, document.Limits{})
	for _, format := range formats() {
		for i, inv := range []*inventory.Inventory{directory("/srv/shop", "a@1", "b@2"), sample(), directory("/empty")} {
			_, err := f.Store(inv, format, document.Options{}, monday.Add(time.Duration(i)*time.Second))
			require.NoError(t, err)
		}
	}
	want := list(t, f)
	require.Len(t, want, 6)
	require.Equal(t, "shop:1.2", want[5].Asset)
	require.Equal(t, inventory.Image, want[5].Kind)
	require.Equal(t, 4, want[5].Packages)
	for _, damage := range []string{"", "{", `[{"file":"../../etc/passwd"}]`, `[{"file":"` + want[0].File + `","asset":"forged"}]`} {
		require.NoError(t, os.WriteFile(filepath.Join(path, "index.json"), []byte(damage), 0o600))
		require.Equal(t, want, list(t, f), damage)
	}
	require.NoError(t, os.Remove(filepath.Join(path, "index.json")))
	require.Equal(t, want, list(t, f))

	victim := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(victim, []byte("{}"), 0o600))
	require.NoError(t, os.Remove(filepath.Join(path, want[0].File)))
	require.NoError(t, os.Symlink(victim, filepath.Join(path, want[0].File)))
	require.NoError(t, os.WriteFile(filepath.Join(path, want[1].File), []byte("torn"), 0o600))
	_, _, err := f.Read(want[0])
	require.Error(t, err, "links are not followed")
	_, _, err = f.Read(want[1])
	require.ErrorContains(t, err, "not JSON")
	_, _, err = f.Read(document.Entry{File: "../victim"})
	require.ErrorIs(t, err, document.ErrNotFound)
	unread := 0
	for _, e := range list(t, f) {
		if e.Asset == "?" {
			unread++
		}
	}
	require.Equal(t, 2, unread)
}

func TestFindNamesADocument(t *testing.T) {
	t.Parallel()
	f, _ := openFolder(t, document.Limits{})
	old := store(t, f, directory("/srv/shop", "a@1"), monday).Entry
	current := store(t, f, directory("/srv/shop", "a@2"), monday.Add(time.Hour)).Entry
	image := store(t, f, sample(), monday).Entry
	all := list(t, f)
	for text, want := range map[string]document.Entry{
		"/srv/shop": current, current.ID: current, old.ID[:8]: old, "shop:1.2": image, image.Digest: image, image.Digest[7:15]: image,
	} {
		found, err := document.Find(all, text)
		require.NoError(t, err, text)
		require.Equal(t, want.File, found.File, text)
	}
	_, err := document.Find(all, "/srv")
	require.ErrorIs(t, err, document.ErrNotFound)
	before, err := document.Previous(all, current)
	require.NoError(t, err)
	require.Equal(t, old.File, before.File)
	_, err = document.Previous(all, old)
	require.ErrorIs(t, err, document.ErrNotFound)
}

func TestDiffComparesVersions(t *testing.T) {
	t.Parallel()
	from := directory("/a", "same@1", "gone@1", "up@1", "two@1", "two@2")
	to := directory("/a", "same@1", "new@1", "up@2", "two@2", "two@3")
	from.Packages = append(from.Packages, inventory.Package{PURL: "pkg:deb/debian/zlib1g@1%3A1.2?distro=bookworm", Version: "1:1.2"})
	to.Packages = append(to.Packages, inventory.Package{PURL: "pkg:deb/debian/zlib1g@1%3A1.3?distro=trixie", Version: "1:1.3"})
	d := document.Diff(from, to)
	require.Equal(t, document.Difference{
		Added:   []document.Change{{Package: "pkg:npm/new", To: []string{"1"}}},
		Removed: []document.Change{{Package: "pkg:npm/gone", From: []string{"1"}}},
		Changed: []document.Change{
			{Package: "pkg:deb/debian/zlib1g", From: []string{"1:1.2"}, To: []string{"1:1.3"}},
			{Package: "pkg:npm/two", From: []string{"1"}, To: []string{"3"}},
			{Package: "pkg:npm/up", From: []string{"1"}, To: []string{"2"}},
		},
	}, d)
	require.True(t, document.Diff(to, to).Empty())
}

// Decode reads back what both formats carry.
func TestDecodeReadsBack(t *testing.T) {
	t.Parallel()
	want := sample()
	want.Sort()
	for _, f := range formats() {
		raw, err := document.Encode(f, want, document.Options{Findings: findings()})
		require.NoError(t, err)
		inv, err := document.Decode(raw)
		require.NoError(t, err)
		require.Equal(t, []any{want.Asset.Kind, want.Asset.Name, want.Asset.Digest}, []any{inv.Asset.Kind, inv.Asset.Name, inv.Asset.Digest})
		require.True(t, inv.Time.Equal(want.Time.Truncate(time.Second)))
		require.Len(t, inv.Packages, len(want.Packages))
		for i, p := range want.Packages {
			require.Equal(t, []string{p.PURL, p.Name, p.Version}, []string{inv.Packages[i].PURL, inv.Packages[i].Name, inv.Packages[i].Version})
			require.ElementsMatch(t, p.Locations, inv.Packages[i].Locations)
		}
		require.Equal(t, []string{"pkg:npm/lodash@4.17.20"}, inv.Packages[2].DependsOn)
		require.Equal(t, []string{"MIT"}, inv.Packages[2].Licenses)
	}
}

func FuzzDecode(f *testing.F) {
	for _, format := range formats() {
		raw, err := document.Encode(format, directory("/a", "b@1"), document.Options{}) // short: the fuzzer minimises what it finds
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		inv, err := document.Decode(raw)
		if err != nil {
			return
		}
		for _, format := range formats() {
			again, err := document.Encode(format, inv, document.Options{})
			require.NoError(t, err)
			_, err = document.Decode(again)
			require.NoError(t, err)
		}
		require.True(t, document.Diff(inv, inv).Empty())
	})
}
