package checksum_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/checksum"
)

// Every change of one byte of the content shows, though many leave the text valid JSON.
func TestEveryChangedByteShows(t *testing.T) {
	t.Parallel()
	whole := checksum.Add([]byte(`{"offset":1234,"path":"/var/log/auth.log"}` + "\n"))
	var back struct {
		Offset int `json:"offset"`
	}
	require.NoError(t, json.Unmarshal(whole, &back))
	require.Equal(t, 1234, back.Offset)
	found, err := checksum.Check(whole)
	require.True(t, found)
	require.NoError(t, err)
	for i := range len(whole) - 1 { // not the line end
		damaged := append([]byte(nil), whole...)
		damaged[i] ^= 1
		found, err := checksum.Check(damaged)
		require.True(t, !found || err != nil, "byte %d", i)
		if !found { // in the words around the checksum itself
			require.Greater(t, i, len(`{"offset":1234,"path":"/var/log/auth.log"`)-1)
		}
	}
}

func TestObjectWrittenInParts(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	w := checksum.NewWriter(&text)
	for _, part := range []string{`{"a":1`, `,"b":[`, `2]`} {
		n, err := w.Write([]byte(part))
		require.NoError(t, err)
		require.Equal(t, len(part), n)
	}
	require.NoError(t, w.Close())
	require.Equal(t, string(checksum.Add([]byte(`{"a":1,"b":[2]}`))), text.String())
}

func TestTextWithoutChecksum(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{}", `{"a":1}`, "not JSON", `{"checksum":"short"}`} {
		found, err := checksum.Check([]byte(text))
		require.False(t, found, text)
		require.NoError(t, err)
	}
}
