package main

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// engine answers blocklist requests as a packet engine would.
func engine(t testing.TB, b *bustest.Bus, answer func(blocklist.ListRequest) blocklist.ListResponse) {
	t.Helper()
	stop, err := b.Conn(bus.EBPFEngine).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
		Module: bus.EBPFEngine, Host: b.Host(), Version: "v1.2.3",
		Verbs: map[string]bus.Verb{"blocklist": func(_ context.Context, body []byte) (any, error) {
			var r blocklist.ListRequest
			err := json.Unmarshal(body, &r)
			return answer(r), err
		}},
	})
	require.NoError(t, err)
	t.Cleanup(stop)
}

func entries(t testing.TB, b *bustest.Bus) []bus.Block {
	t.Helper()
	list, err := b.Conn(bus.Operator).Blocklist(t.Context())
	require.NoError(t, err)
	blocks, _, err := list.List(t.Context())
	require.NoError(t, err)
	return blocks
}

func TestAcceptedFeedIsJSON(t *testing.T) {
	b := bustest.New(t)
	stop, err := b.Conn(bus.EBPFEngine).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
		Module: bus.EBPFEngine, Host: b.Host(), Version: "v1.2.3",
		Acts: map[string]bus.Act{blocklist.VerbAccept: func(context.Context, string, []byte) (any, error) {
			return blocklist.AcceptedFeed{File: "/etc/feed.txt", Before: 10, Now: 2}, nil
		}},
	})
	require.NoError(t, err)
	defer stop()
	r := on(t, b, "blocklist", "accept", "/etc/feed.txt", "--json")
	require.JSONEq(t, `{"file":"/etc/feed.txt","before":10,"now":2}`, r.out, r.err)
}

func TestBlocklistAddListDel(t *testing.T) {
	b := bustest.New(t)
	blocklistDaemon(t, b)
	t.Setenv("SSH_CONNECTION", "")
	r := on(t, b, "blocklist", "add", "203.0.113.7", "--for", "2h", "--reason", "evil \x1b[31m")
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.out, "203.0.113.7/32 is blocked until 20")
	require.Contains(t, r.err, "no packet engine answers")
	got := entries(t, b)
	require.Len(t, got, 1)
	require.Equal(t, bus.Operator, got[0].Source)
	require.InDelta(t, 2*time.Hour, time.Until(got[0].Expires), float64(time.Minute))

	r = on(t, b, "blocklist", "add", "2001:db8::1", "--json")
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.err, "most likely has all of 2001:db8::/64")
	require.Contains(t, r.out, `"prefix":"2001:db8::1/128"`)

	r = on(t, b, "blocklist", "add", "203.0.113.7/32", "--for", "1m")
	require.Contains(t, r.out, " (before: until ")
	require.Contains(t, r.out, "by operator")
	require.InDelta(t, time.Minute, time.Until(entries(t, b)[0].Expires), float64(5*time.Second))

	require.Equal(t, exitOK, on(t, b, "blocklist", "add", "203.0.113.0/24", "--reason", "evil \x1b[31m").code)
	r = on(t, b, "blocklist", "list")
	require.Equal(t, exitOK, r.code, r.err)
	require.Regexp(t, `(?m)^203\.0\.113\.0/24 +20\S+ +operator +- +evil \\x1b\[31m$`, r.out)

	r = on(t, b, "blocklist", "del", "203.0.113.7")
	require.Contains(t, r.out, "203.0.113.7/32 is removed; it is still blocked by 203.0.113.0/24")
	r = on(t, b, "blocklist", "del", "203.0.113.9", "203.0.113.0/24")
	require.Equal(t, exitError, r.code)
	require.Contains(t, r.err, "203.0.113.9/32 has no entry; it is still blocked by 203.0.113.0/24")
	require.Contains(t, r.out, "203.0.113.0/24 is removed")
	require.Len(t, entries(t, b), 1)
}

func TestBlocklistAddRefusesInvalidArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"evil.example"},
		{"0.0.0.0/0", "--force"},
		{"2000::/18"},
		{"10.191.1.13/29"},
		{"203.0.113.7", "--rate", "10"},
		{"203.0.113.7", "--port", "443"},
		{"203.0.113.7", "--port", "icmp/8"},
		{"203.0.113.7", "--port", "tcp/0"},
		{"203.0.113.7", "--for", "0s"},
		{"203.0.113.7", "--for", "soon"},
		{"203.0.113.7", "--for", "9999d"},
		{"203.0.113.7", "--reason", string(make([]byte, 600))},
		{"fe80::1%eth0"},
		{},
		{"1.2.3.4", "5.6.7.8"},
	} {
		r := call(t, append([]string{"blocklist", "add"}, args...)...)
		require.Equal(t, exitUsage, r.code, "%q: %s", args, r.err)
	}
	require.Equal(t, exitUsage, call(t, "blocklist", "del").code)
	require.Equal(t, exitUsage, call(t, "blocklist", "del", "x").code)
}

func TestBlocklistAddRefusesProtectedAddresses(t *testing.T) {
	b := bustest.New(t)
	blocklistDaemon(t, b)
	engine(t, b, func(blocklist.ListRequest) blocklist.ListResponse {
		return blocklist.ListResponse{Host: "a-name-of-another", Protected: []blocklist.ProtectedAddress{
			{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Kind: blocklist.Gateway},
		}}
	})
	for _, prefix := range []string{"192.0.2.1", "192.0.0.0/16", "192.0.0.0/8"} {
		r := on(t, b, "blocklist", "add", prefix)
		require.Equal(t, exitError, r.code)
		require.Contains(t, r.err, "192.0.2.1/32 (gateway of "+b.Host()+")")
		require.Contains(t, r.err, "--force")
	}
	require.Empty(t, entries(t, b))
	require.Equal(t, exitOK, on(t, b, "blocklist", "add", "192.0.0.0/8", "--force", "--for", "1m").code)
	require.Equal(t, exitOK, on(t, b, "blocklist", "add", "203.0.113.2").code)
	require.Len(t, entries(t, b), 2)

	r := on(t, b, "blocklist", "add", "127.0.0.1")
	require.Contains(t, r.err, "127.0.0.0/8 (loopback of this machine)", "the protected addresses of this machine count too")
	t.Setenv("SSH_CONNECTION", "198.51.100.4 4711 192.0.2.9 22")
	r = on(t, b, "blocklist", "add", "198.51.100.0/24")
	require.Equal(t, exitError, r.code)
	require.Contains(t, r.err, "198.51.100.4/32")
}

func TestBlocklistAddOfAPartOfThePackets(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	blocklistDaemon(t, b)
	r := on(t, b, "blocklist", "add", "203.0.113.7", "--rate", "10/s", "--port", "tcp/443", "--for", "10m")
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.out, "203.0.113.7/32 is limited (tcp/443, 10/s) until ")
	require.Equal(t, exitOK, on(t, b, "blocklist", "add", "203.0.113.7", "--port", "udp").code)
	require.Equal(t, exitOK, on(t, b, "blocklist", "add", "203.0.113.7").code)
	r = on(t, b, "blocklist", "list")
	require.Regexp(t, `(?m)^203\.0\.113\.7/32 +20`, r.out)
	require.Regexp(t, `(?m)^203\.0\.113\.7/32 tcp/443, 10/s +20`, r.out)
	require.Regexp(t, `(?m)^203\.0\.113\.7/32 udp +20`, r.out)
	r = on(t, b, "blocklist", "del", "203.0.113.7", "--port", "tcp/443")
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.out, "203.0.113.7/32 tcp/443 is removed; it is still blocked by 203.0.113.7/32, 203.0.113.7/32 udp")
	require.Len(t, entries(t, b), 2)
	r = on(t, b, "blocklist", "del", "203.0.113.7", "--port", "tcp/443")
	require.Contains(t, r.err, "203.0.113.7/32 tcp/443 has no entry")
	require.Equal(t, exitOK, on(t, b, "blocklist", "del", "203.0.113.7").code)
	require.Empty(t, entries(t, b))
}

func TestBlocklistCheckTellsByWhatAndExitsWith4(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	blocklistDaemon(t, b)
	prefix := netip.MustParsePrefix
	created, expires := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2026, 1, 2, 4, 4, 5, 0, time.UTC)
	answers := map[string]blocklist.CheckResponse{
		"203.0.113.7": {Verdict: blocklist.Blocked, Interfaces: []string{"eth0"}, Blocks: []blocklist.CheckedBlock{
			{Enforced: true, Entry: blocklist.Entry{
				Prefix: prefix("203.0.113.7/32"), Source: bus.ContainerGuard, Policy: "brute", AlertID: "a1", Created: &created, Expires: &expires,
				Packets: 42, Bytes: 420, Reason: "evil \x1b[31m",
			}},
			{Entry: blocklist.Entry{Prefix: prefix("203.0.113.0/24"), Feed: true}, File: "/etc/drop", Line: 12, Enforced: true},
		}},
		"192.0.2.1": {Verdict: blocklist.PassAllowed, Allowed: &blocklist.ProtectedAddress{Prefix: prefix("192.0.2.0/24"), Kind: blocklist.Allowed, From: "/etc/allow:3"}},
		"192.0.2.2": {Verdict: blocklist.NotBlocked, Interfaces: []string{"eth0"}},
	}
	stop, err := b.Conn(bus.EBPFEngine).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
		Module: bus.EBPFEngine, Host: b.Host(), Version: "v1.2.3",
		Verbs: map[string]bus.Verb{blocklist.VerbCheck: func(_ context.Context, body []byte) (any, error) {
			var r blocklist.CheckRequest
			err := json.Unmarshal(body, &r)
			answer := answers[r.Address.String()]
			answer.Host, answer.Address = b.Host(), r.Address
			return answer, err
		}},
	})
	require.NoError(t, err)
	t.Cleanup(stop)

	r := on(t, b, "blocklist", "check", "203.0.113.7")
	require.Equal(t, exitFindings, r.code, r.err)
	for _, want := range []string{
		`^203\.0\.113\.7 is blocked on testhost \(eth0\)$`, `^203\.0\.113\.7/32 +by +container-guard$`, `policy +brute, alert a1$`, `since +2026-01-02T`,
		`dropped +42 packets, 420 bytes$`, `reason +evil \\x1b\[31m$`, `^203\.0\.113\.0/24 +file +/etc/drop:12$`,
	} {
		require.Regexp(t, "(?m)"+want, r.out)
	}
	for line := range strings.Lines(r.out) {
		require.LessOrEqual(t, len(strings.TrimRight(line, "\n")), 80)
	}
	r = on(t, b, "blocklist", "check", "203.0.113.7", "--json")
	require.Equal(t, exitFindings, r.code)
	require.Contains(t, r.out, `"alert_id":"a1"`)
	r = on(t, b, "blocklist", "check", "192.0.2.1")
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.out, "192.0.2.0/24 (allowed, by /etc/allow:3)")
	require.Equal(t, exitOK, on(t, b, "blocklist", "check", "192.0.2.2").code)
	require.Equal(t, exitUsage, call(t, "blocklist", "check", "192.0.2.0/24").code)

	require.Equal(t, exitOK, on(t, b, "blocklist", "add", "203.0.113.7").code)
	r = on(t, b, "blocklist", "del", "203.0.113.7")
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.out, "203.0.113.7/32 is removed; it is still blocked by /etc/drop:12 on testhost (203.0.113.0/24)")
}

func TestBlocklistListShowsHits(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	blocklistDaemon(t, b)
	prefix := netip.MustParsePrefix
	rows := []blocklist.Entry{
		{Prefix: prefix("198.51.100.0/24"), Feed: true, Packets: 9, Bytes: 90},
		{Prefix: prefix("203.0.113.7/32"), Bucket: true, Packets: 42, Bytes: 420},
	}
	engine(t, b, func(r blocklist.ListRequest) blocklist.ListResponse { // one entry per page
		a := blocklist.ListResponse{Total: 2, Capacity: 10, Entries: []blocklist.Entry{}}
		for _, e := range rows {
			if r.Bucket && !e.Bucket || r.After != nil && e.Prefix.Addr().Compare(r.After.Addr()) <= 0 {
				continue
			}
			if len(a.Entries) == 1 {
				a.More = true
				break
			}
			a.Entries = append(a.Entries, e)
		}
		return a
	})
	require.Equal(t, exitOK, on(t, b, "blocklist", "add", "203.0.113.7").code)
	r := on(t, b, "blocklist", "list")
	require.Regexp(t, `(?m)^203\.0\.113\.7/32 +20\S+ +operator +42 +by `, r.out)
	require.NotContains(t, r.out, "198.51.100.0/24")
	require.Regexp(t, `(?m)^testhost +2 +10 +0 +0$`, r.out)

	r = on(t, b, "blocklist", "list", "--files", "--json")
	var all blockedList
	require.NoError(t, json.Unmarshal([]byte(r.out), &all))
	require.Len(t, all.Entries, 2)
	require.Equal(t, "file", all.Entries[1].Source)
	require.Nil(t, all.Entries[1].Expires)
	require.Equal(t, []hit{{Host: "testhost", Packets: 42, Bytes: 420}}, all.Entries[0].Hits)
	require.Len(t, all.Hosts, 1)

	r = on(t, b, "blocklist", "list", "--host", "elsewhere")
	require.Regexp(t, `(?m)^203\.0\.113\.7/32 +20\S+ +operator +- +`, r.out)

	list, err := b.Conn(bus.ContainerGuard).Blocklist(t.Context())
	require.NoError(t, err)
	elsewhere := bus.Block{Prefix: prefix("203.0.113.7/32"), Hosts: bus.HostsOf("web-1"), Created: time.Now(), Expires: time.Now().Add(time.Hour), Source: bus.ContainerGuard}
	require.NoError(t, list.Put(t.Context(), elsewhere))
	r = on(t, b, "blocklist", "list")
	require.Regexp(t, `(?m)^203\.0\.113\.7/32 +20\S+ +operator +42 +by `, r.out)
	require.Regexp(t, `(?m)^203\.0\.113\.7/32 on web-1 +20\S+ +container-guard +- `, r.out, "it does not hold on testhost")
	r = on(t, b, "blocklist", "list", "--json")
	require.Regexp(t, `"hosts": *\[\s*"web-1"\s*\]`, r.out)
	require.Contains(t, on(t, b, "blocklist", "del", "203.0.113.7").out, "removed")
	left, _, err := list.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, left)
}
