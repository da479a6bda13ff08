package parse_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/tomlfile"
	"github.com/ironpost/ironpost/services/logpipeline/format"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

func TestSamplesOfShippedFormatsAreReadAsTheySay(t *testing.T) {
	t.Parallel()
	formats, err := format.Shipped()
	require.NoError(t, err)
	var problems tomlfile.Problems
	parse.CheckDescribed(formats, format.NewSet(formats), &problems)
	require.NoError(t, problems.Err())
}
