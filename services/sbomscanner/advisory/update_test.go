package advisory_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory/advisorytest"
)

// source serves files as a storage bucket does: with a tag, X-Goog-Hash, and conditional requests.
type source struct {
	*httptest.Server
	mu     sync.Mutex
	files  map[string][]byte
	header map[string]string // added to each answer
}

func newSource(t *testing.T) *source {
	t.Helper()
	s := &source{files: make(map[string][]byte), header: make(map[string]string)}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, ok := s.files[r.URL.Path]
	if !ok {
		http.Error(w, "none", http.StatusNotFound)
		return
	}
	sum := md5.Sum(content)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	w.Header().Set("X-Goog-Hash", "md5="+base64.StdEncoding.EncodeToString(sum[:]))
	for k, v := range s.header {
		w.Header().Set(k, v)
	}
	if s.header["Location"] != "" {
		w.WriteHeader(http.StatusFound)
		return
	}
	if s.header["Content-Length"] != "" {
		_, _ = w.Write(content)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// put makes the source offer n records of an ecosystem, and returns the archive.
func (s *source) put(t *testing.T, ecosystem string, n int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "all.zip")
	advisorytest.Zip(t, path, records(ecosystem, n))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files["/"+ecosystem+"/all.zip"] = b
	return b
}

func (s *source) options(ecosystems ...string) advisory.UpdateOptions {
	return advisory.UpdateOptions{URL: s.URL, Ecosystems: ecosystems, Client: s.Client()}
}

// TestUpdate downloads what changed, and imports it.
func TestUpdate(t *testing.T) {
	t.Parallel()
	s, dir := newSource(t), t.TempDir()
	s.put(t, "npm", 10)
	rocky := s.put(t, "Rocky Linux", 20)
	sum := sha256.Sum256(rocky)
	s.files["/Rocky Linux/all.zip.sha256"] = []byte(hex.EncodeToString(sum[:]) + "  all.zip\n")
	kev, err := os.ReadFile("testdata/kev.json")
	require.NoError(t, err)
	s.files["/kev.json"] = kev
	s.files["/epss.csv"] = []byte("cve,epss,percentile\nCVE-1999-0001,0.01297,0.79\n")

	phases := make(map[advisory.Progress]bool)
	o := s.options("Rocky Linux:9", "npm", "Rocky Linux:8")
	o.KEVURL, o.EPSSURL = s.URL+"/kev.json", s.URL+"/epss.csv"
	o.Progress = func(p advisory.Progress) { phases[p] = true }
	first, err := advisory.Update(t.Context(), dir, o)
	require.NoError(t, err)
	require.Len(t, first.Imported, 4)
	require.Equal(t, hex.EncodeToString(sum[:]), first.Imported[0].SHA256)
	require.True(t, phases[advisory.Progress{Phase: advisory.PhaseImport, Ecosystem: "npm", Done: 10, Total: 10}])
	require.True(t, phases[advisory.Progress{
		Phase: advisory.PhaseDownload, Ecosystem: "Rocky Linux", Done: int64(len(rocky)), Total: int64(len(rocky)),
	}])
	store := open(t, dir)
	require.Equal(t, []string{"TEST-19"}, ids(t, store, "Rocky Linux:9", "package-19"))
	entry, ok, err := store.KEV("CVE-2025-48384")
	require.NoError(t, err)
	require.True(t, ok)
	require.True(t, entry.Ransomware)

	s.put(t, "npm", 11)
	second, err := advisory.Update(t.Context(), dir, o)
	require.NoError(t, err)
	require.Len(t, second.Imported, 1)
	require.Equal(t, 11, second.Imported[0].Records)
	require.Equal(t, []string{"Rocky Linux", "KEV", "EPSS"}, second.Unchanged)
	require.NotEqual(t, first.ID, second.ID)

	third, err := advisory.Update(t.Context(), dir, o)
	require.NoError(t, err)
	require.Empty(t, third.Imported)
	require.Equal(t, second.ID, third.ID)
	require.Equal(t, first.ID, third.Previous.ID, "an update without news keeps what a rollback returns to")
	require.True(t, third.Updated().After(second.Updated()))
	changed, err := store.Changed()
	require.NoError(t, err)
	require.True(t, changed)
}

// TestUpdateFails names each ecosystem that fails, keeps what the database has of it, and imports the others.
func TestUpdateFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*source)
		want  string
	}{
		"not found": {func(s *source) { delete(s.files, "/npm/all.zip") }, "update npm: get https://127.0.0.1:"},
		"crc32c":    {func(s *source) { s.header["X-Goog-Hash"] = "crc32c=AAAAAA==,md5=!" }, "it does not have the crc32c checksum"},
		"md5": {func(s *source) {
			s.header["X-Goog-Hash"] = "md5=" + base64.StdEncoding.EncodeToString(make([]byte, 16))
		}, "md5 checksum"},
		"sha256":      {func(s *source) { s.files["/npm/all.zip.sha256"] = bytes.Repeat([]byte("0"), 64) }, "it does not have the checksum of the .sha256"},
		"cut off":     {func(s *source) { s.files["/npm/all.zip"] = s.files["/npm/all.zip"][:900] }, "it is not a complete zip archive"},
		"not a zip":   {func(s *source) { s.files["/npm/all.zip"] = []byte("<html>Sign in to the hotel's network</html>") }, "it is not a complete zip archive"},
		"connection":  {func(s *source) { s.header["Content-Length"] = "99999" }, "unexpected EOF"},
		"too large":   {func(s *source) { s.header["Content-Length"] = "9999999999" }, "at most 4294967296 are allowed"},
		"to http":     {func(s *source) { s.header["Location"] = "http://127.0.0.1:1/all.zip" }, "a redirect leads from https to http"},
		"overwritten": {func(s *source) { s.files["/npm/all.zip"] = s.files["/Go/all.zip"] }, "npm/all.zip: 10 of 10 records are unusable (other_ecosystem: 10)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dir := newSource(t), t.TempDir()
			s.put(t, "npm", 10)
			_, err := advisory.Update(t.Context(), dir, s.options("npm"))
			require.NoError(t, err)
			s.put(t, "npm", 20)
			s.put(t, "Go", 10)
			s.mu.Lock()
			c.spoil(s)
			s.mu.Unlock()
			_, err = advisory.Update(t.Context(), dir, s.options("npm"))
			require.ErrorContains(t, err, c.want)
			store := open(t, dir)
			require.Equal(t, 10, store.Status().Records())
			require.Empty(t, ids(t, store, "npm", "package-10"))
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, left, 3, "index, lock and manifest.json")

			s.mu.Lock()
			clear(s.header)
			s.mu.Unlock()
			report, err := advisory.Update(t.Context(), dir, s.options("Go", "npm", "none/../there"))
			require.ErrorContains(t, err, "it is not the name of an ecosystem")
			require.Equal(t, "Go", report.Imported[0].Ecosystem)
		})
	}
}

// TestUpdateStalls ends a download that says nothing any more.
func TestUpdateStalls(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("PK"))
		w.(http.Flusher).Flush()
		<-ended
	}))
	defer server.Close()
	defer close(ended)
	_, err := advisory.Update(t.Context(), t.TempDir(), advisory.UpdateOptions{
		URL: server.URL, Ecosystems: []string{"npm"}, StallTimeout: 100 * time.Millisecond,
	})
	require.ErrorContains(t, err, "update npm: get "+server.URL+"/npm/all.zip: no data came for 100ms")
}

// TestReadersDuringImports see one generation each, whole, however often it is replaced.
func TestReadersDuringImports(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	importRecords(t, dir, "npm", 100)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				store, err := advisory.Open(dir)
				if !assert.NoError(t, err) { //nolint:testifylint // require may end the goroutine of the test only
					return
				}
				n := store.Status().Records()
				for i, want := range map[int]int{n - 1: 1, n: 0} {
					found, err := store.Lookup("npm", fmt.Sprintf("package-%d", i))
					assert.NoError(t, err) //nolint:testifylint // require may end the goroutine of the test only
					assert.Len(t, found, want)
				}
				assert.NoError(t, store.Close()) //nolint:testifylint // require may end the goroutine of the test only
				_, err = store.Lookup("npm", "package-0")
				assert.ErrorIs(t, err, advisory.ErrClosed)
			}
		})
	}
	for i := range 40 {
		importRecords(t, dir, "npm", 101+i%3)
	}
	close(done)
	readers.Wait()
}

// TestOneUpdateAtATime refuses a second one while the first runs.
func TestOneUpdateAtATime(t *testing.T) {
	t.Parallel()
	s, dir := newSource(t), t.TempDir()
	s.put(t, "npm", 10)
	o := s.options("npm")
	var second error
	o.Progress = func(advisory.Progress) {
		_, second = advisory.Update(t.Context(), dir, s.options("npm"))
	}
	_, err := advisory.Update(t.Context(), dir, o)
	require.NoError(t, err)
	require.ErrorIs(t, second, advisory.ErrBusy)
	_, err = advisory.Update(t.Context(), dir, s.options("npm"))
	require.NoError(t, err)
}
