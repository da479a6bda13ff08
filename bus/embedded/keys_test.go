package embedded_test

import (
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
)

func newPair(t testing.TB) nkeys.KeyPair {
	t.Helper()
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	return pair
}

func publicKey(t testing.TB, seed []byte) string {
	t.Helper()
	pair, err := nkeys.FromSeed(seed)
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	return public
}
