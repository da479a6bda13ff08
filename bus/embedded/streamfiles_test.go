package embedded_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
)

const randomDamages = 20

// Bits of the block of a bucket or of a stream are flipped at random: the bus starts, names the stream, and works.
func TestDamagedBlocksAreSetAside(t *testing.T) {
	t.Parallel()
	whole := guardHandledTwoOfFive(t)
	first := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.StoreDir = whole }))
	require.Empty(t, first.Server().SetAside())
	kv, err := first.Conn(bus.ContainerGuard).KV(within(t), bus.BlocklistBucket)
	require.NoError(t, err)
	for n := range 3 {
		_, err = kv.Put(within(t), fmt.Sprintf("kept%d", n), []byte("{}"), time.Hour)
		require.NoError(t, err)
	}
	first.Stop()
	for _, stream := range []string{"KV_" + bus.BlocklistBucket, string(bus.Alerts)} {
		for seed := range uint64(randomDamages) {
			store := filepath.Join(t.TempDir(), "bus")
			require.NoError(t, os.CopyFS(store, os.DirFS(whole)))
			path := filepath.Join("jetstream", bus.AccountApp, "streams", stream, "msgs", "1.blk")
			random := rand.New(rand.NewPCG(1, seed))
			rewrite(path, func(b []byte) []byte {
				for range 1 + random.IntN(8) {
					b[random.IntN(len(b))] ^= 1 << random.IntN(8)
				}
				return b
			})(t, store)
			b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.StoreDir = store }))
			for _, aside := range b.Server().SetAside() {
				require.Equal(t, stream, string(aside.Stream))
				_, err := os.Stat(aside.Path)
				require.NoError(t, err)
			}
			kv, err := b.Conn(bus.ContainerGuard).KV(within(t), bus.BlocklistBucket)
			require.NoError(t, err, "seed %d: %+v", seed, b.Server().SetAside())
			_, err = kv.Put(within(t), "new", []byte("{}"), time.Hour)
			require.NoError(t, err)
			alert(t, b, publisher(t, b), fmt.Sprintf("seed%d", seed))
			b.Stop()
		}
	}
}

// One damaged record of a stream is taken out, the others stay.
func TestOtherRecordsOfADamagedBlockStay(t *testing.T) {
	t.Parallel()
	store := guardHandledTwoOfFive(t)
	path := filepath.Join(store, "jetstream", bus.AccountApp, "streams", string(bus.Alerts), "msgs")
	rewrite("1.blk", func(b []byte) []byte { b[11] ^= 0x10; return b })(t, path) // the sequence of the first
	b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.StoreDir = store }))
	aside := b.Server().SetAside()
	require.Len(t, aside, 1)
	require.True(t, aside[0].Rest)
	h, err := b.Conn(bus.Daemon).Holding(within(t), bus.Alerts)
	require.NoError(t, err)
	require.Equal(t, [3]uint64{2, 5, 4}, [3]uint64{h.First, h.Last, h.Messages})
}

// Only two starts that ended with a panic have the whole store moved aside, and not those of a process that was killed.
func TestStoreThatEndsTheServerTwiceIsSetAside(t *testing.T) {
	t.Parallel()
	store := guardHandledTwoOfFive(t)
	opening := filepath.Join(store, "opening")
	start := func() *bustest.Bus {
		return bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.StoreDir = store }))
	}
	for _, trace := range []string{"", "", "panic: one"} {
		require.NoError(t, os.WriteFile(opening, []byte(trace), 0o600))
		b := start()
		require.Empty(t, b.Server().SetAside())
		b.Stop()
	}
	require.NoError(t, os.WriteFile(opening, []byte("panic: two\n"), 0o600))
	b := start()
	aside := b.Server().SetAside()
	require.Len(t, aside, 1)
	require.Contains(t, aside[0].Why, "panic: two")
	require.DirExists(t, aside[0].Path)
	require.NoError(t, b.Server().Opened())
	require.NoFileExists(t, opening)
	require.NoFileExists(t, opening+".panicked")
}
