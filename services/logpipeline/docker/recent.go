package docker

import (
	"hash/maphash"
	"slices"
)

// maxRecent bounds the lines of one stream that are remembered.
const maxRecent = 1024

// recent remembers the last lines of a stream by their hash. While the engine rotates
// a log that is followed it hands some lines out twice (seen with 20.10), and only
// this tells them from lines written after its clock was set back.
type recent struct {
	seed maphash.Seed
	sums []uint64
	next int
}

func newRecent() *recent { return &recent{seed: maphash.MakeSeed()} }

// holds reports whether the line was among the last.
func (r *recent) holds(at int64, text []byte) bool { return slices.Contains(r.sums, r.sum(at, text)) }

func (r *recent) add(at int64, text []byte) {
	sum := r.sum(at, text)
	if len(r.sums) < maxRecent {
		r.sums = append(r.sums, sum)
		return
	}
	r.sums[r.next] = sum
	r.next = (r.next + 1) % maxRecent
}

func (r *recent) sum(at int64, text []byte) uint64 {
	return maphash.Bytes(r.seed, text) ^ maphash.Comparable(r.seed, at)
}
