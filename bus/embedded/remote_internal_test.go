package embedded

import (
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

const aKey = "UACQAK2MOAPWNFXRZATDAWDTJAUPMZIR2QYPA2YZ3RCD7PPGDNK5MUXN"

func TestParseKey(t *testing.T) {
	t.Parallel()
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	for text, want := range map[string]bus.Plugin{
		public:                            {Trust: event.TrustUnproven},
		public + "\r\npublish alerts\r\n": {Trust: event.TrustUnproven, Publish: []bus.StreamName{bus.Alerts}},
		public + "\npublish alerts\ntrust peer\n":       {Trust: event.TrustPeer, Publish: []bus.StreamName{bus.Alerts}},
		public + "\ntrust unproven\npublish alerts\n\n": {Trust: event.TrustUnproven, Publish: []bus.StreamName{bus.Alerts}},
	} {
		got, plugin, err := parseKey(text)
		require.NoError(t, err, text)
		require.Equal(t, public, got)
		require.Equal(t, want, plugin)
	}
	for _, text := range []string{"", "publish alerts\n" + public, public + "\npublish actions", public + "\ntrust kernel", public + "\n\ntrust peer"} {
		_, _, err := parseKey(text)
		require.Error(t, err, text)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(aKey + "\npublish alerts\ntrust peer\n")
	f.Fuzz(func(t *testing.T, text string) {
		public, plugin, err := parseKey(text)
		if err == nil && (!nkeys.IsValidPublicUserKey(public) || plugin.Trust != event.TrustUnproven && plugin.Trust != event.TrustPeer) {
			t.Fatalf("%q: key %q, %+v", text, public, plugin)
		}
	})
}
