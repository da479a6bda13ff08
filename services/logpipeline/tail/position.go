package tail

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

const (
	// maxEarly is how many lines at the beginning of a content are told from those of others that begin with the same ones.
	maxEarly = 8
	// maxEarlyKept bounds how many of those lines are remembered of the contents of a path.
	maxEarlyKept = 8 * maxEarly
)

// A position is the path, the first line of the content, a number, the offset, and a hash over all lines of the content up to this one. So it is the same
// wherever the content is found and in whatever order contents are, and not even a file overwritten in place repeats one. The number is not 0 only
// for lines with which more than one content begins, such as a header: they are counted.

// chain adds a line to the hash over the lines of a content.
func chain(before uint64, text []byte) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], before)
	binary.LittleEndian.PutUint64(b[8:], xxhash.Sum64(text))
	return xxhash.Sum64(b[:])
}

// chainFrom begins a hash where the lines before were not read.
func chainFrom(tail Fingerprint) uint64 { return xxhash.Sum64String(tail.Sum) }

// nextPosition returns the number and the hash of the next line of f.
func (f *logFile) nextPosition(p *watchedPath, text []byte) (number int, hash uint64) {
	if f.Chain == 0 && f.Offset > 0 && f.Early == 0 { // from a state without it
		f.Chain, f.Early = chainFrom(f.Tail), maxEarly
	}
	f.Chain = chain(f.Chain, text)
	if f.Early >= maxEarly || p.spool {
		return 0, f.Chain
	}
	f.Early++
	return p.countEarly(f.Chain), f.Chain
}

// countEarly returns how many contents of p began with the lines that hash stands for, so far.
func (p *watchedPath) countEarly(hash uint64) int {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], hash)
	g := Generation{Head: hex.EncodeToString(b[:])}
	if i := slices.IndexFunc(p.gens, func(other Generation) bool { return other.Head == g.Head }); i >= 0 {
		g.N = p.gens[i].N + 1
		p.gens = slices.Delete(slices.Clone(p.gens), i, i+1)
	}
	p.gens = append(slices.Clip(p.gens[max(0, len(p.gens)-maxEarlyKept+1):]), g)
	return g.N
}

// appendPosition appends the position of a line at offset.
func appendPosition(b []byte, prefix string, number int, offset int64, hash uint64) []byte {
	b = strconv.AppendInt(append(b, prefix...), int64(number), 10)
	b = strconv.AppendInt(append(b, '.'), offset, 16)
	return strconv.AppendUint(append(b, '.'), hash, 16)
}
