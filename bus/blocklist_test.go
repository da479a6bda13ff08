package bus_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

func newBlock(prefix string, d time.Duration) bus.Block {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return bus.Block{
		Prefix: netip.MustParsePrefix(prefix), Created: now, Expires: now.Add(d), Source: bus.ContainerGuard, Reason: "ssh brute force",
	}
}

func TestBlockPrefixHasOneForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"203.0.113.7":              {"203.0.113.7/32", "cb007107-32"},
		"203.0.113.0/24":           {"203.0.113.0/24", "cb007100-24"},
		"::ffff:203.0.113.7":       {"203.0.113.7/32", "cb007107-32"},
		"::ffff:203.0.113.0/120":   {"203.0.113.0/24", "cb007100-24"},
		"2001:DB8::/64":            {"2001:db8::/64", "20010db8000000000000000000000000-64"},
		"::/0":                     {"::/0", "00000000000000000000000000000000-0"},
		"0.0.0.0/0":                {"0.0.0.0/0", "00000000-0"},
		"::ffc0:0:0/90":            {"::ffc0:0:0/90", "00000000000000000000ffc000000000-90"},
		"fe80::1":                  {"fe80::1/128", "fe800000000000000000000000000001-128"},
		"255.255.255.255/32":       {"255.255.255.255/32", "ffffffff-32"},
		"0:0:0:0:0:ffff:cb00:7107": {"203.0.113.7/32", "cb007107-32"},
	} {
		p, err := bus.ParseBlockPrefix(text)
		require.NoError(t, err, text)
		require.Equal(t, want[0], p.String(), text)
		require.Equal(t, want[1], bus.BlockKey(p), text)
		back, hub, err := bus.ParseBlockKey(want[1])
		require.NoError(t, err)
		require.Equal(t, p, back)
		require.False(t, hub)
		back, hub, err = bus.ParseBlockKey("hub." + want[1])
		require.NoError(t, err)
		require.Equal(t, p, back)
		require.True(t, hub)
	}
	for _, key := range []string{"", "-", "cb007107", "cb007107-33", "cb007107-24", "CB007107-32", "cb007107-032", "cb0071-24", "00000000000000000000ffffcb007107-128", "zz007107-32"} {
		_, _, err := bus.ParseBlockKey(key)
		require.ErrorIs(t, err, bus.ErrInvalidBlock, key)
	}
	for _, text := range []string{"", "host", "203.0.113", "203.0.113.7/33", "fe80::1%eth0", "203.0.113.7/-1", "203.0.113.7/024", "1.2.3.4 ", "\x1b[31m"} {
		_, err := bus.ParseBlockPrefix(text)
		require.ErrorIs(t, err, bus.ErrInvalidBlock, "%q", text)
		require.NotContains(t, err.Error(), "\x1b")
	}
}

func TestBlockPrefixWithHostBitsNamesTheRightOnes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.191.1.13/29":         "use 10.191.1.8/29, or 10.191.1.13/32",
		"2001:db8::1/64":         "use 2001:db8::/64, or 2001:db8::1/128",
		"::ffff:203.0.113.7/120": "use 203.0.113.0/24, or 203.0.113.7/32",
	} {
		_, err := bus.ParseBlockPrefix(text)
		require.ErrorIs(t, err, bus.ErrInvalidBlock)
		require.ErrorContains(t, err, want)
	}
}

// An engine without scopes refuses the key, so that it does not block every packet.
func TestScopedBlockHasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	for key, scope := range map[string]bus.Scope{
		"cb007107-32-tcp-443": {Protocol: "tcp", Port: 443, Rate: 10}, "cb007107-32-any-0": {Rate: 1}, "cb007107-32-icmp-0": {Protocol: "icmp"}, "cb007107-32": {},
	} {
		b := newBlock("203.0.113.7/32", time.Hour)
		b.Scope = scope
		got, value, _, err := b.Encode(b.Created)
		require.NoError(t, err)
		require.Equal(t, key, got)
		back, err := bus.DecodeBlock(key, value)
		require.NoError(t, err)
		require.Equal(t, scope, back.Scope)
		require.Equal(t, scope, bus.ScopeOf(scope.Number(), scope.Port, scope.Rate))
		b.Hub = true
		require.Equal(t, "hub."+key, b.Key())
		copied, err := bus.DecodeBlock("hub."+key, value)
		require.NoError(t, err)
		require.True(t, copied.Hub)
		_, _, err = bus.ParseBlockKey(key) // as an earlier version reads it
		require.Equal(t, scope.All(), err == nil, key)
		if !scope.All() {
			_, err = bus.DecodeBlock("cb007107-32", value)
			require.ErrorIs(t, err, bus.ErrInvalidBlock)
		}
	}
	for _, scope := range []bus.Scope{{Port: 443}, {Protocol: "icmp", Port: 8}, {Protocol: "gre"}, {Rate: -1}, {Rate: bus.MaxBlockRate + 1}} {
		b := newBlock("203.0.113.7/32", time.Hour)
		b.Scope = scope
		_, _, _, err := b.Encode(b.Created)
		require.ErrorIs(t, err, bus.ErrInvalidBlock, "%+v", scope)
	}
}

// An entry for some hosts stands beside one for all. An engine that knows no hosts refuses its key, so that it does not
// enforce what holds elsewhere.
func TestBlockOfCertainHostsHasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	for key, hosts := range map[string]bus.Hosts{"cb007107-32": "", "cb007107-32=web-1": bus.HostsOf("web-1"), "cb007107-32=db=web-1": bus.HostsOf("web-1", "db", "web-1")} {
		b := newBlock("203.0.113.7/32", time.Hour)
		b.Hosts = hosts
		got, value, _, err := b.Encode(b.Created)
		require.NoError(t, err)
		require.Equal(t, key, got)
		require.Equal(t, hosts.All(), !strings.Contains(string(value), "hosts"), "as an earlier version writes it")
		back, err := bus.DecodeBlock(key, value)
		require.NoError(t, err)
		require.Equal(t, hosts, back.Hosts)
		require.True(t, back.Hosts.Include("web-1"))
		require.Equal(t, hosts.All(), back.Hosts.Include("web"))
		prefix, _, err := bus.ParseBlockKey(key)
		require.NoError(t, err)
		require.Equal(t, b.Prefix, prefix)
		if !hosts.All() {
			_, err = bus.DecodeBlock("cb007107-32", value)
			require.ErrorIs(t, err, bus.ErrInvalidBlock)
		}
	}
	for _, hosts := range []bus.Hosts{"Web", "a,,b", "a.b", bus.Hosts(strings.Repeat("a", 65)), bus.HostsOf(strings.Split("a b c d e f g h i j k l m n o p q", " ")...)} {
		b := newBlock("203.0.113.7/32", time.Hour)
		b.Hosts = hosts
		_, _, _, err := b.Encode(b.Created)
		require.ErrorIs(t, err, bus.ErrInvalidBlock, "%s", hosts)
	}
}

func TestWidePrefixIsRefused(t *testing.T) {
	t.Parallel()
	for text, allowed := range map[string]bool{"10.0.0.0/8": true, "10.0.0.0/7": false, "0.0.0.0/0": false, "2001:e000::/19": true, "2001:c000::/18": false, "::/0": false} {
		err := bus.CheckBlockWidth(netip.MustParsePrefix(text))
		require.Equal(t, allowed, err == nil, "%s: %v", text, err)
	}
}

func TestBlockRoundTrip(t *testing.T) {
	t.Parallel()
	b := newBlock("2001:db8::/64", time.Hour)
	key, value, ttl, err := b.Encode(b.Created)
	require.NoError(t, err)
	require.Equal(t, time.Hour, ttl)
	require.JSONEq(t, `{"prefix":"2001:db8::/64","expires":"`+b.Expires.Format(time.RFC3339Nano)+
		`","reason":"ssh brute force","source":"container-guard","created":"`+b.Created.Format(time.RFC3339Nano)+`"}`, string(value))
	got, err := bus.DecodeBlock(key, value)
	require.NoError(t, err)
	require.Equal(t, b, got)
}

func TestEncodeRefusesInvalidBlocks(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*bus.Block){
		"no prefix":  func(b *bus.Block) { b.Prefix = netip.Prefix{} },
		"no source":  func(b *bus.Block) { b.Source = "" },
		"source":     func(b *bus.Block) { b.Source = strings.Repeat("x", bus.MaxBlockSource+1) },
		"reason":     func(b *bus.Block) { b.Reason = strings.Repeat("x", bus.MaxBlockReason+1) },
		"no text":    func(b *bus.Block) { b.Reason = "\xff" },
		"no created": func(b *bus.Block) { b.Created = time.Time{} },
		"no time":    func(b *bus.Block) { b.Expires = b.Created },
		"for ever":   func(b *bus.Block) { b.Expires = b.Created.Add(bus.MaxBlockTime + time.Second) },
		"over":       func(b *bus.Block) { b.Created, b.Expires = b.Created.Add(-time.Hour), b.Created.Add(-time.Minute) },
	} {
		b := newBlock("203.0.113.7/32", time.Hour)
		now := b.Created
		change(&b)
		_, _, _, err := b.Encode(now)
		require.ErrorIs(t, err, bus.ErrInvalidBlock, name)
	}
}

func TestDecodeBlockRefusesForeignValues(t *testing.T) {
	t.Parallel()
	key, good, _, err := newBlock("203.0.113.0/24", time.Hour).Encode(time.Now())
	require.NoError(t, err)
	other, _, _, err := newBlock("203.0.112.0/24", time.Hour).Encode(time.Now())
	require.NoError(t, err)
	for name, entry := range map[string][2]string{
		"another's key": {other, string(good)},
		"host bits":     {key, strings.Replace(string(good), "203.0.113.0/24", "203.0.113.9/24", 1)},
		"mapped":        {key, strings.Replace(string(good), "203.0.113.0/24", "::ffff:203.0.113.0/120", 1)},
		"address":       {key, strings.Replace(string(good), "203.0.113.0/24", "203.0.113.0", 1)},
		"empty":         {key, ""},
		"null":          {key, "null"},
		"array":         {key, "[]"},
		"huge":          {key, strings.Replace(string(good), "ssh", strings.Repeat("s", 5000), 1)},
	} {
		_, err := bus.DecodeBlock(entry[0], []byte(entry[1]))
		require.ErrorIs(t, err, bus.ErrInvalidBlock, name)
	}
}

// Whatever is read can be written again under the same key.
func FuzzDecodeBlock(f *testing.F) {
	key, good, _, err := newBlock("203.0.113.0/24", time.Hour).Encode(time.Now())
	require.NoError(f, err)
	f.Add(key, good)
	f.Add("00000000000000000000000000000000-0", []byte(`{"prefix":"::/0","expires":"9999-12-31T23:59:59Z","created":"9990-01-01T00:00:00+07:00","source":"x"}`))
	f.Add("00000000-0", []byte(`{"prefix":"0.0.0.0/0","expires":"9999-12-31T23:59:59-07:00","created":"9999-01-01T00:00:00Z","source":"x"}`))
	f.Add("-", []byte(`{"prefix":"","expires":"0001-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		b, err := bus.DecodeBlock(key, value)
		if err != nil {
			require.ErrorIs(t, err, bus.ErrInvalidBlock)
			return
		}
		again, encoded, ttl, err := b.Encode(b.Created)
		require.NoError(t, err)
		require.Equal(t, key, again)
		require.Positive(t, ttl)
		require.True(t, json.Valid(encoded))
	})
}

func TestBlocklist(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	ctx := within(t, patience)
	guard, err := b.Conn(bus.ContainerGuard).Blocklist(ctx)
	require.NoError(t, err)
	operator, err := b.Conn(bus.Daemon).Blocklist(ctx)
	require.NoError(t, err)

	hour := newBlock("203.0.113.7/32", time.Hour)
	got, err := guard.Extend(ctx, hour)
	require.NoError(t, err)
	require.Equal(t, hour, got)
	short := newBlock("203.0.113.7/32", time.Minute)
	got, err = guard.Extend(ctx, short)
	require.NoError(t, err)
	require.Equal(t, hour, got, "what is there lasts longer")
	day := newBlock("203.0.113.7/32", 24*time.Hour)
	_, err = guard.Extend(ctx, day)
	require.NoError(t, err)
	require.NoError(t, operator.Put(ctx, short), "a person may shorten it")

	engine, err := b.Conn(bus.EBPFEngine).Blocklist(ctx)
	require.NoError(t, err)
	got, err = engine.Get(ctx, short.Prefix)
	require.NoError(t, err)
	require.Equal(t, short, got)
	require.Error(t, engine.Put(within(t, 300*time.Millisecond), hour), "the engine only reads")

	operators := newBlock("203.0.113.8/32", time.Minute)
	operators.Source, operators.Policy, operators.AlertID = "operator", "", ""
	require.NoError(t, operator.Put(ctx, operators))
	weak := newBlock("203.0.113.8/32", time.Hour)
	weak.Trust = event.TrustContainer
	got, err = guard.Extend(ctx, weak)
	require.NoError(t, err)
	require.Equal(t, "operator", got.Source, "it stays the operator's")
	require.Equal(t, weak.Expires, got.Expires)
	require.NoError(t, guard.RemoveAutomatic(ctx, weak.Key(), weak.Source, weak.MadeOn), "and gives no way")
	require.NoError(t, operator.Remove(ctx, weak.Prefix))
	strong := newBlock("203.0.113.8/32", time.Minute)
	strong.Trust = event.TrustKernel
	_, err = guard.Extend(ctx, strong)
	require.NoError(t, err)
	got, err = guard.Extend(ctx, weak)
	require.NoError(t, err)
	require.Equal(t, event.TrustKernel, got.Trust, "the stronger one")
	require.Equal(t, weak.Expires, got.Expires)
	read, err := guard.Get(ctx, weak.Prefix)
	require.NoError(t, err)
	require.Equal(t, got, read)
	require.NoError(t, operator.Remove(ctx, weak.Prefix))

	weak.MadeOn, strong.MadeOn = "web-1", "web-1"
	_, err = guard.Extend(ctx, weak)
	require.NoError(t, err)
	got, err = guard.Extend(ctx, strong)
	require.NoError(t, err)
	require.Equal(t, event.TrustKernel, got.Trust, "a stronger one that ends earlier raises the trust")
	require.Equal(t, []any{weak.Expires, "web-1"}, []any{got.Expires, got.MadeOn})
	require.NoError(t, guard.RemoveAutomatic(ctx, weak.Key(), weak.Source, "web-2"))
	_, err = guard.Get(ctx, weak.Prefix)
	require.NoError(t, err, "another host's stays")
	strong.MadeOn = "web-2"
	got, err = guard.Extend(ctx, strong)
	require.NoError(t, err)
	require.Empty(t, got.MadeOn, "now it is of two hosts")
	require.NoError(t, guard.RemoveAutomatic(ctx, weak.Key(), weak.Source, "web-1"))
	_, err = guard.Get(ctx, weak.Prefix)
	require.NoError(t, err)
	require.NoError(t, operator.Remove(ctx, weak.Prefix))
	_, err = guard.Extend(ctx, strong)
	require.NoError(t, err)
	require.NoError(t, guard.RemoveAutomatic(ctx, weak.Key(), weak.Source, "web-2"))
	_, err = guard.Get(ctx, weak.Prefix)
	require.ErrorIs(t, err, bus.ErrNotFound)

	kv := bucket(t, b, bus.Daemon)
	_, err = kv.Put(ctx, "cb007100-24", []byte("rubbish"), 0)
	require.NoError(t, err)
	require.NoError(t, operator.Put(ctx, newBlock("198.51.100.0/24", time.Hour)))
	list, invalid, err := engine.List(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, invalid)
	require.Len(t, list, 2)
	require.Equal(t, "198.51.100.0/24", list[0].Prefix.String())
	_, err = guard.Extend(ctx, newBlock("203.0.113.0/24", time.Hour))
	require.NoError(t, err, "rubbish is overwritten")

	require.NoError(t, operator.Remove(ctx, short.Prefix))
	_, err = engine.Get(ctx, short.Prefix)
	require.ErrorIs(t, err, bus.ErrNotFound)
}

// The bucket forgets a block when it is over.
func TestBlocklistEntriesExpire(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	ctx := within(t, patience)
	guard, err := b.Conn(bus.ContainerGuard).Blocklist(ctx)
	require.NoError(t, err)
	require.NoError(t, guard.Put(ctx, newBlock("203.0.113.7/32", time.Second)))
	require.Eventually(t, func() bool {
		list, _, err := guard.List(ctx)
		return err == nil && len(list) == 0
	}, patience, 20*time.Millisecond)
}

// A copy is compared with what it was made from by ==.
func TestDecodedBlocksAreComparable(t *testing.T) {
	t.Parallel()
	b := newBlock("192.0.2.1/32", time.Hour)
	key, value, _, err := b.Encode(b.Created)
	require.NoError(t, err)
	value = bytes.ReplaceAll(value, []byte(`Z"`), []byte(`+02:00"`))
	one, err := bus.DecodeBlock(key, value)
	require.NoError(t, err)
	other, err := bus.DecodeBlock(key, value)
	require.NoError(t, err)
	require.Equal(t, one, other)
}
