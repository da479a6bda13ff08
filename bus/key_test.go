package bus_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

const (
	aKey       = "UBUIYOBEKYEEJB53F5CXKXEB2YDZZ6SRPLGXMY4UQ5MRMM3U6PDBSJKJ"
	moduleFile = "log-pipeline.web-1.nk"
	pluginFile = "door.web-1.nk"
)

func TestParseKey(t *testing.T) {
	t.Parallel()
	door := bus.Key{Module: "door", Host: "web-1", Public: aKey, Publish: []bus.StreamName{bus.Alerts}, Trust: event.TrustUnproven}
	peer := door
	peer.Trust = event.TrustPeer
	for text, want := range map[string]bus.Key{
		moduleFile + ":" + aKey + "\n":                                   {Module: bus.LogPipeline, Host: "web-1", Public: aKey},
		"daemon.web-1.nk:" + aKey:                                        {Module: bus.Daemon, Host: "web-1", Public: aKey},
		pluginFile + ":" + aKey + "\r\npublish alerts\r\n":               door,
		pluginFile + ":" + aKey + "\npublish alerts\ntrust peer\n":       peer,
		pluginFile + ":" + aKey + "\ntrust unproven\npublish alerts\n\n": door,
	} {
		name, content, _ := strings.Cut(text, ":")
		got, err := bus.ParseKey(name, content)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
		again, err := bus.ParseKey(got.FileName(), got.Text())
		require.NoError(t, err)
		require.Equal(t, got, again, "what is written is read")
	}
	for _, text := range []string{
		moduleFile + ":", moduleFile + ":publish alerts\n" + aKey, moduleFile + ":" + aKey + "\npublish alerts", moduleFile + ":SUAnotapublickey",
		pluginFile + ":" + aKey, pluginFile + ":" + aKey + "\ntrust peer", pluginFile + ":" + aKey + "\npublish actions", pluginFile + ":" + aKey + "\npublish alerts\ntrust kernel",
		"log-pipeline.nk:" + aKey, "log-pipeline.a.b.nk:" + aKey, "log-pipeline.*.nk:" + aKey, "notes.txt:" + aKey, "log-pipeline.web-1:" + aKey,
		"forwarder.web-1.nk:" + aKey, ".edge.web-1.nk:" + aKey, ".nk:" + aKey, "Door.web-1.nk:" + aKey,
	} {
		name, content, _ := strings.Cut(text, ":")
		_, err := bus.ParseKey(name, content)
		require.Error(t, err, text)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(pluginFile, aKey+"\npublish alerts\ntrust peer\n")
	f.Add(moduleFile, aKey)
	f.Fuzz(func(t *testing.T, name, text string) {
		k, err := bus.ParseKey(name, text)
		if err != nil {
			return
		}
		plugin, isPlugin := k.Plugin()
		if !nkeys.IsValidPublicUserKey(k.Public) || k.FileName() != name || isPlugin != (plugin.Trust == event.TrustUnproven || plugin.Trust == event.TrustPeer) {
			t.Fatalf("%q %q: %+v", name, text, k)
		}
	})
}

// A file that is no key is refused alone. What a write that was cut off left is none.
func TestReadKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	none, refused, err := bus.ReadKeys(filepath.Join(dir, "missing"))
	require.NoError(t, err)
	require.Empty(t, none)
	require.Empty(t, refused)

	other := publicKey(t)
	write(moduleFile, aKey+"\n")
	write("sbom-scanner.web-1.nk", aKey+"\n")
	write("unknown.web-1.nk", publicKey(t)+"\n")
	write("large.web-1.nk", strings.Repeat("x", 300))
	write("zone.web-1.nk", other+"\npublish alerts\n")
	write(".edge.web-5.nk", "UA")
	require.NoError(t, os.Symlink(filepath.Join(dir, moduleFile), filepath.Join(dir, "action-collector.web-1.nk")))
	keys, refused, err := bus.ReadKeys(dir)
	require.NoError(t, err)
	require.Equal(t, []bus.Key{
		{Module: bus.LogPipeline, Host: "web-1", Public: aKey},
		{Module: "zone", Host: "web-1", Public: other, Publish: []bus.StreamName{bus.Alerts}, Trust: event.TrustUnproven},
	}, keys)
	var texts []string
	for _, err := range refused {
		texts = append(texts, strings.TrimPrefix(err.Error(), dir+"/"))
	}
	slices.Sort(texts)
	require.Equal(t, []string{
		"action-collector.web-1.nk: want a file of at most 256 bytes",
		"large.web-1.nk: want a file of at most 256 bytes",
		"sbom-scanner.web-1.nk: log-pipeline.web-1.nk has the same key",
		`unknown.web-1.nk: unknown is no module of this version; the key of a plug-in says "publish alerts"`,
	}, texts)
}

func TestReadKeysIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range bus.MaxKeys + 1 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("log-pipeline.web-%04d.nk", i)), []byte(publicKey(t)), 0o600))
	}
	keys, refused, err := bus.ReadKeys(dir)
	require.NoError(t, err)
	require.Len(t, keys, bus.MaxKeys)
	require.Len(t, refused, 1)
	require.ErrorContains(t, refused[0], "log-pipeline.web-1024.nk and what follows: the folder holds more than 1024 files")
}

func publicKey(t *testing.T) string {
	t.Helper()
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	return public
}
