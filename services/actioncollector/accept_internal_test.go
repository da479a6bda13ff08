package actioncollector

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// A request that is served while the collector stops finds its keeper closed, and the
// trail, which the next collector needs, must stay closed as well.
func TestNothingIsAcceptedAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := &Service{keep: &keeper{next: make(chan audit.Head, 1)}}
	s.end()
	_, err := s.accept(t.Context(), Accept{By: "mallory", Reason: "late"})
	require.ErrorContains(t, err, "stopping")
	require.Nil(t, s.trail)
}
