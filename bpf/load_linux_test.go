package bpf_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf"
)

func TestVerifierWalksFewInstructions(t *testing.T) {
	t.Parallel()
	f := newFilter(t, 0)
	e := program(t, f, bpf.Options{})
	info, err := e.XDP().Info()
	require.NoError(t, err)
	walked, ok := info.VerifiedInstructions()
	require.True(t, ok)
	t.Logf("%d instructions verified", walked)
	require.Less(t, walked, uint32(maxVerified))
	out, err := e.Egress()
	usable(t, "tcx", err)
	info, err = out.Info()
	require.NoError(t, err)
	walked, _ = info.VerifiedInstructions()
	require.Less(t, walked, uint32(maxVerified))
}

func TestInvalidOptionsAreErrors(t *testing.T) {
	t.Parallel()
	_, err := bpf.Load(bpf.Options{})
	require.ErrorContains(t, err, "no filter")
	f := newFilter(t, 0)
	_, err = bpf.Load(bpf.Options{Filter: f, RingBufferSize: 5000})
	require.Error(t, err)
}

func TestAddedCPUsAreNoticed(t *testing.T) {
	t.Parallel()
	f := newFilter(t, 0)
	e := program(t, f, bpf.Options{})
	require.False(t, e.CPUsAdded())
	e.ForgetCPU()
	require.True(t, e.CPUsAdded())
	one, _ := replay(t)
	require.False(t, one.CPUsAdded(), "replay uses one CPU")
}

func TestRunStatsAreReadable(t *testing.T) {
	t.Parallel()
	f := newFilter(t, 0)
	e := program(t, f, bpf.Options{})
	_, _, err := e.RunStats()
	require.NoError(t, err)
}
