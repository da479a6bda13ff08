package embedded_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
)

const guardDurable = bus.ContainerGuard + "_testhost"

// The state of the guard's durable is damaged in any way while nothing runs: the bus starts, says so, and delivers what the guard
// had not handled.
func TestDamagedDurableIsSetAsideAndGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, folder string){
		"state cut":       cut("o.dat"),
		"state emptied":   rewrite("o.dat", func([]byte) []byte { return nil }),
		"state garbage":   rewrite("o.dat", func([]byte) []byte { return []byte("garbage of some length") }),
		"a huge count":    rewrite("o.dat", func([]byte) []byte { return []byte{22, 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0} }),
		"further":         rewrite("o.dat", func([]byte) []byte { return []byte{22, 2, 5, 5, 5, 5, 0, 0} }),
		"state gone":      remove("o.dat"),
		"meta flipped":    rewrite("meta.inf", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }),
		"meta cut":        cut("meta.inf"),
		"meta gone":       remove("meta.inf"),
		"checksum gone":   remove("meta.sum"),
		"the folder gone": func(t *testing.T, folder string) { require.NoError(t, os.RemoveAll(folder)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := guardHandledTwoOfFive(t)
			known := bus.Position{Stream: bus.Alerts, Name: guardDurable, Done: 2, Floor: 2, Delivered: 2, Exact: true}
			damage(t, filepath.Join(store, "jetstream", bus.AccountApp, "streams", string(bus.Alerts), "obs", guardDurable))
			b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.StoreDir, c.Known = store, []bus.Position{known} }))
			aside := b.Server().SetAside()
			require.Len(t, aside, 1)
			require.Equal(t, guardDurable, aside[0].Name)
			if name != "the folder gone" {
				require.DirExists(t, aside[0].Path)
			}
			require.Equal(t, []uint64{3, 4, 5}, delivered(t, b, 3))
		})
	}
}

// After a crash a durable may be further than was remembered a moment before: it goes back, and nothing is set aside.
func TestDurableGoesBackToWhereItIsKnownToHaveBeen(t *testing.T) {
	t.Parallel()
	store := guardHandledTwoOfFive(t)
	known := bus.Position{Stream: bus.Alerts, Name: guardDurable, Done: 1, Floor: 1, Delivered: 1}
	b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.StoreDir, c.Known = store, []bus.Position{known} }))
	require.Empty(t, b.Server().SetAside())
	require.Equal(t, []uint64{2, 3, 4, 5}, delivered(t, b, 4))
}

func TestWholeDurableIsLeftAlone(t *testing.T) {
	t.Parallel()
	store := guardHandledTwoOfFive(t)
	known := bus.Position{Stream: bus.Alerts, Name: guardDurable, Done: 2, Floor: 2, Delivered: 2, Exact: true}
	require.Equal(t, [2]uint64{2, 2}, embedded.Positions(store)[[2]string{string(bus.Alerts), guardDurable}])
	b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.StoreDir, c.Known = store, []bus.Position{known} }))
	require.Empty(t, b.Server().SetAside())
	require.Equal(t, []uint64{3, 4, 5}, delivered(t, b, 3))
}

// A damaged file of expiries would remove entries before their time.
func TestExpiriesAreNotReadFromTheirFile(t *testing.T) {
	t.Parallel()
	first := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.StoreDir = filepath.Join(t.TempDir(), "bus") }))
	kv, err := first.Conn(bus.ContainerGuard).KV(within(t), bus.BlocklistBucket)
	require.NoError(t, err)
	_, err = kv.Put(within(t), "kept", []byte("{}"), time.Hour)
	require.NoError(t, err)
	first.Stop()
	file := filepath.Join(first.StoreDir(), "jetstream", bus.AccountApp, "streams", "KV_"+bus.BlocklistBucket, "msgs", "thw.db")
	require.FileExists(t, file)
	second := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.StoreDir = first.StoreDir() }))
	require.NoFileExists(t, file)
	kv, err = second.Conn(bus.ContainerGuard).KV(within(t), bus.BlocklistBucket)
	require.NoError(t, err)
	_, _, err = kv.Get(within(t), "kept")
	require.NoError(t, err)
}

// guardHandledTwoOfFive returns the store of a stopped bus with five alerts, of which the guard's durable handled two.
func guardHandledTwoOfFive(t *testing.T) string {
	t.Helper()
	b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.StoreDir = filepath.Join(t.TempDir(), "bus") }))
	js := publisher(t, b)
	for _, text := range []string{"one", "two", "three", "four", "five"} {
		alert(t, b, js, text)
	}
	require.Equal(t, []uint64{1, 2}, delivered(t, b, 2))
	b.Stop()
	return b.StoreDir()
}

// delivered takes n messages from the guard's durable, acknowledges them and returns their sequences.
func delivered(t *testing.T, b *bustest.Bus, n int) []uint64 {
	t.Helper()
	js, err := jetstream.New(b.Raw(bus.ContainerGuard))
	require.NoError(t, err)
	consumer, err := js.Consumer(within(t), string(bus.Alerts), guardDurable)
	require.NoError(t, err)
	var out []uint64
	for len(out) < n {
		batch, err := consumer.Fetch(n-len(out), jetstream.FetchMaxWait(patience/4))
		require.NoError(t, err)
		before := len(out)
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			require.NoError(t, err)
			out = append(out, meta.Sequence.Stream)
			require.NoError(t, m.DoubleAck(within(t)))
		}
		require.NoError(t, batch.Error())
		require.Greater(t, len(out), before, "nothing more is delivered")
	}
	return out
}

func rewrite(name string, change func([]byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, folder string) {
		path := filepath.Join(folder, name)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, change(b), 0o600))
	}
}

func cut(name string) func(*testing.T, string) {
	return rewrite(name, func(b []byte) []byte { return b[:len(b)/2] })
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, folder string) { require.NoError(t, os.Remove(filepath.Join(folder, name))) }
}
