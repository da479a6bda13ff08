package storage_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/storage"
)

// FuzzStorable: the result is valid UTF-8 without an escape that jsonb refuses, JSON stays JSON of the same
// value but for NUL, and a second pass changes nothing.
func FuzzStorable(f *testing.F) {
	for _, seed := range []string{`{"a":"\u0000\\u0000"}`, `"\ud800\udc00\ud800x"`, `"\`, `"\u00`, "\"\xff\"", `"é\n\"\u00e9"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := storage.Storable([]byte(text))
		require.True(t, utf8.Valid(got))
		require.Equal(t, string(got), string(storage.Storable(got)))
		var before, after any
		if json.Unmarshal([]byte(text), &before) != nil {
			return
		}
		require.NoError(t, json.Unmarshal(got, &after))
		if !utf8.ValidString(text) {
			return // a run of invalid bytes becomes one sign here, several in package json
		}
		want, err := json.Marshal(before)
		require.NoError(t, err)
		have, err := json.Marshal(after)
		require.NoError(t, err)
		require.NotContains(t, strings.ReplaceAll(string(got), `\\`, ""), `\u0000`)
		require.Equal(t, normalNul(string(want)), normalNul(string(have)))
	})
}

// normalNul makes both signs for NUL in JSON the same.
func normalNul(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, `\\`, "\x01"), `\u0000`, "␀")
}
