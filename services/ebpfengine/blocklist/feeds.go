package blocklist

import (
	"cmp"
	"net/netip"
	"slices"
)

// feeds is what all files say together, in the order of compare. Where there is no room for all, those stay that come first
// by file, as they are listed, then the wider ones.
type feeds struct {
	list []ranked
	rank []uint32 // of list[i]; made when somebody asks
	at   []uint32 // index of the prefix with a rank
}

// holds reports whether p is one of the first quota prefixes.
func (f *feeds) holds(p netip.Prefix, quota int) bool {
	i, found := slices.BinarySearchFunc(f.list, p, func(r ranked, p netip.Prefix) int { return compare(r.Prefix, p) })
	if !found || quota >= len(f.list) {
		return found
	}
	f.order()
	return int(f.rank[i]) < quota
}

// between returns the prefixes with the ranks from (included) to (excluded).
func (f *feeds) between(from, to int) []netip.Prefix {
	from, to = min(from, len(f.list)), min(to, len(f.list))
	if from >= to {
		return nil
	}
	f.order()
	found := make([]netip.Prefix, 0, to-from)
	for _, i := range f.at[from:to] {
		found = append(found, f.list[i].Prefix)
	}
	return found
}

func (f *feeds) order() {
	if f.rank != nil {
		return
	}
	f.at = make([]uint32, len(f.list))
	for i := range f.at {
		f.at[i] = uint32(i)
	}
	slices.SortStableFunc(f.at, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(f.list[a].file, f.list[b].file), cmp.Compare(f.list[a].Bits(), f.list[b].Bits()))
	})
	f.rank = make([]uint32, len(f.list))
	for rank, i := range f.at {
		f.rank[i] = uint32(rank)
	}
}

// changes returns what is held by one of two feeds only, or by both within their quotas only.
func changes(old, now *feeds, oldQuota, quota int) (gone, came []netip.Prefix) {
	i, j := 0, 0
	for i < len(old.list) || j < len(now.list) {
		order := old.orderAt(i, now, j)
		was := order <= 0 && old.within(i, oldQuota)
		is := order >= 0 && now.within(j, quota)
		if was && !is {
			gone = append(gone, old.list[i].Prefix)
		}
		if is && !was {
			came = append(came, now.list[j].Prefix)
		}
		if order <= 0 {
			i++
		}
		if order >= 0 {
			j++
		}
	}
	return gone, came
}

// orderAt compares prefix i of f with prefix j of other; one beyond the end comes last.
func (f *feeds) orderAt(i int, other *feeds, j int) int {
	switch {
	case i == len(f.list):
		return 1
	case j == len(other.list):
		return -1
	}
	return compare(f.list[i].Prefix, other.list[j].Prefix)
}

func (f *feeds) within(i, quota int) bool {
	if quota >= len(f.list) {
		return true
	}
	f.order()
	return int(f.rank[i]) < quota
}
