package advisory

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// BenchmarkEncoding reads one stored advisory of crates.io in each form that was considered (docs/adr/0016-advisory-index.md).
func BenchmarkEncoding(b *testing.B) {
	all := parseAll(b, testenv.Data(b, "osv/crates.io/all.zip"))
	for _, form := range []struct {
		name   string
		encode func(*Advisory) ([]byte, error)
		decode func([]byte) error
	}{
		{"json", marshal, unmarshal},
		{
			"json+deflate", func(a *Advisory) ([]byte, error) {
				var out bytes.Buffer
				w, err := flate.NewWriter(&out, flate.DefaultCompression)
				require.NoError(b, err)
				require.NoError(b, json.NewEncoder(w).Encode(a))
				require.NoError(b, w.Close())
				return out.Bytes(), nil
			}, func(stored []byte) error {
				content, err := io.ReadAll(flate.NewReader(bytes.NewReader(stored)))
				require.NoError(b, err)
				return unmarshal(content)
			},
		},
		{"binary", func(a *Advisory) ([]byte, error) { return encode(nil, a), nil }, func(stored []byte) error {
			_, err := decode(stored, false, nil)
			return err
		}},
	} {
		b.Run(form.name, func(b *testing.B) {
			var stored [][]byte
			size := 0
			for _, a := range all {
				content, err := form.encode(a)
				require.NoError(b, err)
				stored, size = append(stored, content), size+len(content)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				require.NoError(b, form.decode(stored[i%len(stored)]))
			}
			b.ReportMetric(float64(size)/float64(len(all)), "stored_B")
		})
	}
}

func marshal(a *Advisory) ([]byte, error) { return json.Marshal(a) }

func unmarshal(content []byte) error {
	var a Advisory
	return json.Unmarshal(content, &a)
}

func parseAll(b *testing.B, path string) []*Advisory {
	b.Helper()
	archive, err := zip.OpenReader(path)
	require.NoError(b, err)
	defer func() { require.NoError(b, archive.Close()) }()
	var all []*Advisory
	for _, f := range archive.File {
		file, err := f.Open()
		require.NoError(b, err)
		content, err := io.ReadAll(file)
		require.NoError(b, err)
		a, err := parse(content)
		require.NoError(b, err)
		all = append(all, a)
	}
	return all
}
