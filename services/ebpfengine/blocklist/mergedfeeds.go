package blocklist

import (
	"cmp"
	"net/netip"
	"slices"
)

// mergedFeeds are the prefixes of all files, collapsed, in the order of compare. Where there is no room for all, those with the
// lowest rank stay: by file, as the files are listed, then the wider ones.
type mergedFeeds struct {
	list   []feedPrefix
	rank   []uint32 // of list[i]; computed when first needed
	ranked []uint32 // index of the prefix with a rank
}

// contains reports whether p is one of the quota prefixes of lowest rank.
func (f *mergedFeeds) contains(p netip.Prefix, quota int) bool {
	i, found := slices.BinarySearchFunc(f.list, p, func(f feedPrefix, p netip.Prefix) int { return compare(f.Prefix, p) })
	return found && f.within(i, quota)
}

// fileOf returns the number of the first file that has p or a part of it, -1 if p is not in the list.
func (f *mergedFeeds) fileOf(p netip.Prefix) int {
	i, found := slices.BinarySearchFunc(f.list, p, func(f feedPrefix, p netip.Prefix) int { return compare(f.Prefix, p) })
	if !found {
		return -1
	}
	return int(f.list[i].file)
}

// within reports whether list[i] is one of the quota prefixes of lowest rank.
func (f *mergedFeeds) within(i, quota int) bool {
	if quota >= len(f.list) {
		return true
	}
	f.computeRanks()
	return int(f.rank[i]) < quota
}

// byRank returns the prefixes with the ranks from (included) to (excluded).
func (f *mergedFeeds) byRank(from, to int) []netip.Prefix {
	from, to = min(from, len(f.list)), min(to, len(f.list))
	if from >= to {
		return nil
	}
	f.computeRanks()
	prefixes := make([]netip.Prefix, 0, to-from)
	for _, i := range f.ranked[from:to] {
		prefixes = append(prefixes, f.list[i].Prefix)
	}
	return prefixes
}

func (f *mergedFeeds) computeRanks() {
	if f.rank != nil {
		return
	}
	f.ranked = make([]uint32, len(f.list))
	for i := range f.ranked {
		f.ranked[i] = uint32(i)
	}
	slices.SortStableFunc(f.ranked, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(f.list[a].file, f.list[b].file), cmp.Compare(f.list[a].Bits(), f.list[b].Bits()))
	})
	f.rank = make([]uint32, len(f.list))
	for rank, i := range f.ranked {
		f.rank[i] = uint32(rank)
	}
}

// diffFeeds returns the prefixes that have room in one of two feeds only.
func diffFeeds(old, now *mergedFeeds, quota int) (removed, added []netip.Prefix) {
	i, j := 0, 0
	for i < len(old.list) || j < len(now.list) {
		var order int
		switch {
		case i == len(old.list):
			order = 1
		case j == len(now.list):
			order = -1
		default:
			order = compare(old.list[i].Prefix, now.list[j].Prefix)
		}
		had := order <= 0 && old.within(i, quota)
		has := order >= 0 && now.within(j, quota)
		if had && !has {
			removed = append(removed, old.list[i].Prefix)
		}
		if has && !had {
			added = append(added, now.list[j].Prefix)
		}
		if order <= 0 {
			i++
		}
		if order >= 0 {
			j++
		}
	}
	return removed, added
}
