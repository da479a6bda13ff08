package journal

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzFile: no content of a file makes the reader panic, read without end or return more than its limits allow.
func FuzzFile(f *testing.F) {
	samples, _ := filepath.Glob("testdata/*.journal")
	for _, path := range samples {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "a.journal")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := newPages().open(path)
		if err != nil {
			return
		}
		defer file.close()
		file.limits = Limits{MaxField: 1 << 12, MaxEntry: 1 << 15}
		file.firstSince(1 << 50)
		var c counts
		for i := range min(file.entries, 1<<12) {
			r, err := file.entry(i, &c)
			if err != nil {
				continue
			}
			size := 0
			for _, field := range r.Fields {
				size += len(field.Value)
				if len(field.Value) > 1<<12 {
					t.Fatalf("value of %d bytes", len(field.Value))
				}
			}
			if limit := 1<<15 + 1<<12 + len(r.Fields)*leastField; size > limit {
				t.Fatalf("entry of %d bytes", size)
			}
		}
	})
}
