package advisorytest

import (
	"archive/zip"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Zip writes an archive with files, by name, to path, whose folder it makes.
func Zip(t testing.TB, path string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	archive := zip.NewWriter(file)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entry, err := archive.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	for _, fn := range []func() error{archive.Close, file.Close} {
		if err := fn(); err != nil {
			t.Fatal(err)
		}
	}
}

// Record returns a record that says: the versions of a package below fixed are affected. Edit may change it, as the JSON
// object that it is.
func Record(id, ecosystem, name, fixed string, edit ...func(map[string]any)) string {
	r := object{
		"id":       id,
		"modified": "2026-01-02T03:04:05Z",
		"affected": []object{{
			"package": object{"ecosystem": ecosystem, "name": name},
			"ranges":  []object{{"type": "ECOSYSTEM", "events": []object{{"introduced": "0"}, {"fixed": fixed}}}},
		}},
	}
	for _, fn := range edit {
		fn(r)
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // the test put something in it that is not JSON
	}
	return string(b)
}
