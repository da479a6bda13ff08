package blocklist_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func texts(list []netip.Prefix) []string {
	var all []string
	for _, p := range list {
		all = append(all, p.String())
	}
	return all
}

func TestReadFeed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
		bad  []int
	}{
		"plain":       {"203.0.113.7\n198.51.100.0/24\n2001:db8::/32\n", []string{"203.0.113.7/32", "198.51.100.0/24", "2001:db8::/32"}, nil},
		"comments":    {"# a list\n; of mine\n\n 203.0.113.7 # him\n203.0.113.8;SBL1\n", []string{"203.0.113.7/32", "203.0.113.8/32"}, nil},
		"no newline":  {"203.0.113.7", []string{"203.0.113.7/32"}, nil},
		"dos":         {"203.0.113.7\r\n203.0.113.8\r\n", []string{"203.0.113.7/32", "203.0.113.8/32"}, nil},
		"spamhaus":    {"1.10.16.0/20 ; SBL256894\n", []string{"1.10.16.0/20"}, nil},
		"host bits":   {"203.0.113.7/24\n", []string{"203.0.113.0/24"}, nil},
		"mapped":      {"::ffff:203.0.113.7\n::ffff:203.0.113.0/120\n", []string{"203.0.113.7/32", "203.0.113.0/24"}, nil},
		"csv":         {"ip,seen,country\n203.0.113.7,2026-01-01,XX\n\"203.0.113.8\",\"x\"\n", []string{"203.0.113.7/32", "203.0.113.8/32"}, nil},
		"csv quoted":  {"\"ip\",\"seen\"\n'203.0.113.7',x\n", []string{"203.0.113.7/32"}, nil},
		"words":       {"203.0.113.7 some words\n203.0.113.8\tseen 5 times\n", []string{"203.0.113.7/32", "203.0.113.8/32"}, nil},
		"dshield":     {"203.0.113.0\t203.0.113.255\t24\t1\n", []string{"203.0.113.0/24"}, nil},
		"range":       {"203.0.113.4-203.0.113.9\n", []string{"203.0.113.4/30", "203.0.113.8/31"}, nil},
		"range down":  {"203.0.113.9-203.0.113.4\n203.0.113.9-2001:db8::\n", nil, []int{1, 2}},
		"range of 6":  {"2001:db8::-2001:db8::ff\n", []string{"2001:db8::/120"}, nil},
		"too wide":    {"0.0.0.0/0\n::/0\n224.0.0.0/3\n0.0.0.0-255.255.255.255\n10.0.0.0/7\n2000::/18\n11.0.0.0/8\n2000::/19\n", []string{"11.0.0.0/8", "2000::/19"}, []int{1, 2, 3, 4, 5, 6}},
		"rubbish":     {"<html>\n203.0.113\n203.0.113.7/33\n1.2.3.4/255.255.255.0\n010.1.1.1\nfe80::1%eth0\n203.0.113.9\n", []string{"203.0.113.9/32"}, []int{1, 2, 3, 4, 5, 6}},
		"ipset":       {"create bad hash:net family inet hashsize 1024 maxelem 65536\nadd bad 203.0.113.0/24 timeout 300 comment \"x\"\nadd bad 203.0.113.7\nadd bad 203.0.113.8-203.0.113.9\n", []string{"203.0.113.0/24", "203.0.113.7/32", "203.0.113.8/31"}, nil},
		"ipset traps": {"add bad 203.0.113.7,tcp:80\nadd bad 203.0.113.0/24 nomatch\ndel bad 203.0.113.9\nadd bad\n", nil, []int{1, 2, 3, 4}},
		"names twice": {"ip,seen\nip,seen\n203.0.113.7\n", []string{"203.0.113.7/32"}, []int{2}},
		"empty":       {"", nil, nil},
		"zeroes":      {"\x00\x00\x00\n203.0.113.7\n", []string{"203.0.113.7/32"}, []int{1}},
		"long":        {strings.Repeat("x", 9000) + "\n203.0.113.7\n" + strings.Repeat("1", 5000), []string{"203.0.113.7/32"}, []int{1, 3}},
	} {
		f, err := blocklist.ReadFeed(strings.NewReader(c.text))
		require.NoError(t, err, name)
		require.Equal(t, c.want, texts(f.Prefixes), name)
		var bad []int
		for _, b := range f.BadLines {
			require.Error(t, b.Err)
			bad = append(bad, b.Line)
		}
		require.Equal(t, c.bad, bad, name)
		require.Equal(t, len(c.bad), f.Bad, name)
	}
}

func TestReadFeedReturnsTenBadLinesAndCountsAll(t *testing.T) {
	t.Parallel()
	f, err := blocklist.ReadFeed(strings.NewReader(strings.Repeat("secret text\n", 1000)))
	require.NoError(t, err)
	require.Len(t, f.BadLines, 10)
	require.Equal(t, 1000, f.Bad)
	require.NotContains(t, fmt.Sprint(f.BadLines), "secret", "a feed may be a symbolic link to a secret")
}

func TestReadFeedIsBounded(t *testing.T) {
	t.Parallel()
	const bytes, prefixes = 1 << 20, 2000
	_, err := blocklist.ReadFeedWithin(endless(strings.Repeat("1.0.0.1-1.255.255.254\n", 40)), bytes, prefixes)
	require.ErrorContains(t, err, "too large for a feed: more than 1 MiB or 2000 prefixes")
	_, err = blocklist.ReadFeedWithin(endless(strings.Repeat("x", 1000)), bytes, prefixes)
	require.ErrorContains(t, err, "too large")
	f, err := blocklist.ReadFeedWithin(strings.NewReader(strings.Repeat("192.0.2.1\n", prefixes)), bytes, prefixes)
	require.NoError(t, err)
	require.Len(t, f.Prefixes, prefixes)
}

// endless repeats itself.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e) <= len(p) {
		n += copy(p[n:], e)
	}
	if n == 0 {
		n = copy(p, e)
	}
	return n, nil
}

// Eight times as many lines take about eight times as many allocations, which are what reading them costs.
func TestFeedsAreReadInProportionToTheirSize(t *testing.T) { //nolint:paralleltest // counts the allocations of the process
	const factor = 8
	allocations := func(lines int) float64 {
		var text bytes.Buffer
		for i := range lines {
			fmt.Fprintf(&text, "%d.%d.%d.%d\n", 1+i>>20, i>>12&0xff, i>>4&0xff, i&0xf*13)
		}
		return testing.AllocsPerRun(1, func() {
			f, err := blocklist.ReadFeed(bytes.NewReader(text.Bytes()))
			require.NoError(t, err)
			require.Len(t, f.Prefixes, lines)
			blocklist.Collapse(f.Prefixes)
		})
	}
	few, many := allocations(feedLines/factor), allocations(feedLines)
	t.Logf("%d lines take %.1f allocations each, %d take %.1f", feedLines/factor, factor*few/feedLines, feedLines, many/feedLines)
	require.Less(t, many, 1.5*factor*few)
	require.Less(t, many, 10.0*feedLines)
}

func FuzzReadFeed(f *testing.F) {
	f.Add([]byte("203.0.113.7\nadd x 2001:db8::/64 timeout 3\n1.2.3.0-1.2.4.255\n"))
	f.Add([]byte("0.0.0.0/0,x\n\"a\",b\n::ffff:1.2.3.4/97 ; x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		feed, err := blocklist.ReadFeed(bytes.NewReader(data))
		require.NoError(t, err)
		require.LessOrEqual(t, feed.Bad, feed.Lines)
		require.LessOrEqual(t, feed.Lines, bytes.Count(data, []byte("\n"))+1)
		for _, p := range feed.Prefixes {
			require.True(t, p.IsValid())
			require.Equal(t, p.Masked(), p)
			require.False(t, p.Addr().Is4In6() && p.Bits() >= 96)
			require.Positive(t, p.Bits())
		}
		list := blocklist.Collapse(feed.Prefixes)
		for i := 1; i < len(list); i++ {
			require.False(t, list[i].Overlaps(list[i-1]))
		}
	})
}
