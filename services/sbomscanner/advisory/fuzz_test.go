package advisory

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

const sampleRecord = `{"id":"GHSA-1","aliases":["CVE-2026-1"],"upstream":["CVE-2026-2"],"summary":"s","details":"d","modified":"2026-01-02T03:04:05.6Z",
"withdrawn":"2026-01-02T03:04:05Z","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N"}],"database_specific":{"severity":"HIGH"},
"affected":[{"package":{"ecosystem":"PyPI","name":"A_b"},"ranges":[{"type":"GIT","events":[{"introduced":"0"}]},{"type":"ECOSYSTEM","events":
[{"introduced":"0"},{"fixed":"1"},{"last_affected":"2"},{"limit":"3"}]}],"versions":["1","2"],"severity":[{"type":"Ubuntu","score":"low"}],
"ecosystem_specific":{"urgency":"high"}}],"references":[{"url":"https://example.org"}]}`

// FuzzRecord: what is accepted has a usable id, is within the limits, and is the same after it was stored.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(sampleRecord))
	f.Add([]byte(`{"id":"A","affected":[{"package":null,"ranges":null},{}],"database_specific":[1],"references":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parse(b)
		if err != nil {
			var r *refusal
			require.ErrorAs(t, err, &r)
			return
		}
		require.NoError(t, checkID(a.ID))
		require.LessOrEqual(t, len(a.Details), maxDetails)
		require.LessOrEqual(t, len(a.References), maxReferences)
		stored := encode(nil, a)
		read, err := decode(stored, true, nil)
		require.NoError(t, err)
		require.Equal(t, stored, encode(nil, read))
		for _, base := range ecosystemsOf(a) {
			_ = validEcosystem(base)
			name := Normalize(base, a.Affected[0].Name)
			require.Equal(t, name, Normalize(base, name))
		}
	})
}

// FuzzArchive: a zip file is read within the limits, and no file of it is longer than it says.
func FuzzArchive(f *testing.F) {
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, name := range []string{"GHSA-1.json", "../x.json", "folder/"} {
			entry, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method, Comment: "c", Extra: []byte{1, 0, 0, 0}})
			require.NoError(f, err)
			if name != "folder/" {
				_, err = entry.Write([]byte(sampleRecord))
				require.NoError(f, err)
			}
		}
		require.NoError(f, w.Close())
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := newArchive(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		total := 0
		err = a.entries(func(file archiveFile) error {
			content, err := a.readRecord(file)
			if err != nil {
				var r *refusal
				require.ErrorAs(t, err, &r)
				return nil
			}
			total += len(content)
			require.Len(t, content, int(file.unpacked))
			_, _ = parse(content)
			return nil
		})
		require.NoError(t, err, "the directory was read before")
		require.LessOrEqual(t, total, max(minRatioBytes, (len(b)+1)*maxUnpackedRatio))
	})
}

// FuzzIndex: a file of any content, and one whose checksums are right around any content, is read without leaving it.
func FuzzIndex(f *testing.F) {
	a, err := parse([]byte(sampleRecord))
	require.NoError(f, err)
	payload := encode(nil, a)
	record := append(binary.LittleEndian.AppendUint32(nil, checksum(payload)), payload...)
	table := binary.LittleEndian.AppendUint64(nil, hashKey("a-b"))
	table = binary.LittleEndian.AppendUint64(table, uint64(len(magic))<<lengthBits|uint64(len(record)))
	f.Add(record, table, uint16(1))
	f.Add(assemble(record, table, 1), []byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, records, tables []byte, split uint16) {
		readIndex(t, records)
		readIndex(t, assemble(records, tables, split))
		if a, err := decode(records, true, nil); err == nil {
			_ = encode(nil, a)
		}
	})
}

// assemble makes an index file whose table of names has split entries, with the right checksums.
func assemble(records, tables []byte, split uint16) []byte {
	tables = tables[:len(tables)/entrySize*entrySize]
	names := tables[:min(int(split)*entrySize, len(tables))]
	b := append([]byte(magic), records...)
	end := footer{Records: uint64(len(b)), NamesSum: checksum(names), IDsSum: checksum(tables[len(names):])}
	b = append(b, names...)
	end.Names = uint64(len(b))
	b = append(b, tables[len(names):]...)
	end.IDs = uint64(len(b))
	foot, err := binary.Append(nil, binary.LittleEndian, end)
	if err != nil {
		panic(err) // it has numbers only
	}
	foot = binary.LittleEndian.AppendUint32(foot, checksum(foot))
	return append(append(b, foot...), magic...)
}

func readIndex(t *testing.T, b []byte) {
	t.Helper()
	file := bytes.NewReader(b)
	x, err := newIndex(file, int64(len(b)), func(from, length int64) ([]byte, error) {
		return b[from : from+length], nil
	})
	if err != nil {
		return
	}
	read := func(payload []byte) error {
		_, err := decode(payload, true, nil)
		return err
	}
	_ = x.byName("a-b", read)
	_ = x.byID("GHSA-1", read)
	var buffer []byte
	for _, table := range [][]byte{x.names, x.ids} {
		for i := range len(table) / entrySize {
			_, _ = x.record(entryAt(table, i), &buffer)
		}
	}
}

// FuzzFeed: entries of KEV and EPSS are counted or refused.
func FuzzFeed(f *testing.F) {
	f.Add([]byte(`{"dateReleased":"2025-08-25T17:04:19Z","vulnerabilities":[{"cveID":"CVE-2025-48384","vulnerabilityName":"Git"},{"cveID":"x"}]}`))
	f.Add([]byte("#model_version:v1,score_date:2026-08-21T12:55:00Z\ncve,epss,percentile\nCVE-1999-0001,0.01297,0.79\nCVE-2026-1,2,0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func(io.Reader, *feedWriter) error{parseKEV, parseEPSS} {
			file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			require.NoError(t, err)
			out, err := newBuilder(file)
			require.NoError(t, err)
			w := &feedWriter{builder: out}
			_ = parse(bytes.NewReader(b), w)
			require.Len(t, out.ids, out.count)
			require.LessOrEqual(t, len(w.examples), maxExamples)
			require.NoError(t, file.Close())
		}
	})
}
