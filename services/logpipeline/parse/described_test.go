package parse_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/tomlfile"
	"github.com/ironpost/ironpost/services/logpipeline/format"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// shippedFormats is the input of a daemon without settings for it.
var shippedFormats = sync.OnceValue(func() parse.Input {
	formats, err := format.Shipped()
	if err != nil {
		panic(err)
	}
	return parse.Input{Described: format.NewSet(formats)}
})

func TestSamplesOfShippedFormatsAreReadAsTheySay(t *testing.T) {
	t.Parallel()
	formats, err := format.Shipped()
	require.NoError(t, err)
	var problems tomlfile.Problems
	parse.CheckDescribed(formats, format.NewSet(formats), &problems)
	require.NoError(t, problems.Err())
}

// What a message says of its host does not take the place of what the journal says.
func TestHostInAMessageIsNotThatOfTheHeader(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"host":"forged","message":"hello"}`, `{"hostname":"forged","message":"hello"}`, `{"host":{"name":"forged"},"message":"hello"}`,
		`{"host.name":"forged","message":"hello"}`, `{"host":"forged","@timestamp":"2026-11-03T15:04:05Z","ecs":{"version":"8"},"message":"hello"}`,
	} {
		ev := parse.New(parse.Options{}).ParseMessage(parse.Header{Host: "web1", Process: "app"}, text, time.Now(), parse.Input{})
		require.Equal(t, "web1", ev.Host, text)
		host, _ := ev.Fields.Get("host")
		require.Equal(t, "web1", host.String(), text)
	}
}
