package format_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/format"
)

func TestShippedFormatsAreValid(t *testing.T) {
	t.Parallel()
	formats, err := format.Shipped()
	require.NoError(t, err)
	require.NotEmpty(t, formats)
	for _, f := range formats {
		require.NotEmpty(t, f.Description, f.Name)
		require.NotEmpty(t, f.Samples, f.Name)
	}
}
