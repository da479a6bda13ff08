package blocklist

import (
	"bufio"
	"errors"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
)

// The verdicts of Check.
const (
	Blocked     = "blocked"
	PassAllowed = "allowed"      // or protected: packets pass whatever is blocked
	Limited     = "limited"      // packets of a port, or more new attempts than a rate, are dropped
	NotBlocked  = "not blocked"  // no entry has the address
	NotEnforced = "not enforced" // an entry has it, and the kernel does not drop its packets
)

// CheckRequest asks whether an address is blocked.
type CheckRequest struct {
	Address netip.Addr `json:"address"`
}

// CheckResponse says whether the packets of an address are dropped on a host, and why.
type CheckResponse struct {
	Host    string     `json:"host"`
	Address netip.Addr `json:"address"`
	Verdict string     `json:"verdict"`
	// Allowed is the protected or allowed prefix that lets the address pass.
	Allowed *ProtectedAddress `json:"allowed,omitempty"`
	// Blocks are the entries that have the address, the longest prefix first, and then those of a part of its packets.
	Blocks []CheckedBlock `json:"blocks"`
	// Interfaces are those whose packets are filtered.
	Interfaces []string `json:"interfaces"`
}

// CheckedBlock is an entry that has the address.
type CheckedBlock struct {
	Entry
	// File and Line are where a feed has the address; Line is 0 if the file no longer has it.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Enforced says that the kernel has the entry. Otherwise it is wanted only.
	Enforced bool `json:"enforced"`
}

// Check returns whether packets of an address are dropped, by the kernel's lists as they are. Interfaces are those with the program.
func (r *Reconciler) Check(addr netip.Addr, interfaces []string) (CheckResponse, error) {
	addr = addr.WithZone("").Unmap()
	kernel, err := r.readKernel(0)
	if err != nil {
		return CheckResponse{}, err
	}
	out := CheckResponse{Address: addr, Blocks: []CheckedBlock{}, Interfaces: interfaces}
	now := time.Now()
	for bits := addr.BitLen(); bits >= 0; bits-- {
		prefix, _ := addr.Prefix(bits) // no error: the length fits
		out.Blocks = append(out.Blocks, r.checkPrefix(prefix, addr, kernel, now)...)
	}
	scopes, err := r.checkScopes(addr, kernel, now)
	if err != nil {
		return CheckResponse{}, err
	}
	out.Blocks = append(out.Blocks, scopes...)
	protected := r.ProtectedAddresses()
	if i := slices.IndexFunc(protected, func(p ProtectedAddress) bool { return p.Prefix.Contains(addr) }); i >= 0 {
		out.Allowed = &protected[i]
	}
	blocked := slices.ContainsFunc(out.Blocks, func(b CheckedBlock) bool { return b.Enforced && b.All() })
	enforced := slices.ContainsFunc(out.Blocks, func(b CheckedBlock) bool { return b.Enforced })
	switch {
	case out.Allowed != nil:
		out.Verdict = PassAllowed
	case len(out.Blocks) == 0:
		out.Verdict = NotBlocked
	case !enforced || len(interfaces) == 0:
		out.Verdict = NotEnforced
	case !blocked:
		out.Verdict = Limited
	default:
		out.Verdict = Blocked
	}
	return out, nil
}

// checkPrefix returns the entry of prefix, in the kernel or only wanted; none if there is neither.
func (r *Reconciler) checkPrefix(prefix netip.Prefix, addr netip.Addr, kernel []bpf.Entry, now time.Time) []CheckedBlock {
	r.mu.Lock()
	want, wanted := r.plan.wanted(prefix)
	file := r.plan.feeds.fileOf(prefix)
	r.mu.Unlock()
	have, enforced := find(kernel, prefix, now)
	enforced = enforced && !have.Scoped
	if !wanted && !enforced {
		return nil
	}
	entry := want
	if enforced {
		entry = have
	}
	b := CheckedBlock{Entry: r.describe(entry), Enforced: enforced}
	if file >= 0 {
		b.File = r.cfg.Files[file]
		b.Line = lineOf(b.File, addr)
	}
	return []CheckedBlock{b}
}

// checkScopes returns the entries for a part of the packets of addr, in the kernel or only wanted. Those in the kernel hold while
// their prefix has an entry there.
func (r *Reconciler) checkScopes(addr netip.Addr, kernel []bpf.Entry, now time.Time) (found []CheckedBlock, err error) {
	entries, err := r.describeScopes(func(p netip.Prefix) bool { return p.Contains(addr) })
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	wanted := r.plan.scopes.wanted()
	r.mu.Unlock()
	for _, e := range entries {
		_, enforced := find(kernel, e.Prefix, now)
		found = append(found, CheckedBlock{Entry: e, Enforced: enforced})
		delete(wanted, bus.Block{Prefix: e.Prefix, Scope: e.Scope}.Key())
	}
	for _, b := range wanted {
		if !b.Prefix.Contains(addr) || !b.Expires.After(now) {
			continue
		}
		expires := b.Expires.UTC()
		e := Entry{Prefix: b.Prefix, Scope: b.Scope, Bucket: true, Expires: &expires}
		e.addOrigin(b)
		found = append(found, CheckedBlock{Entry: e})
	}
	return found, nil
}

// find returns the entry of prefix in the kernel's sorted list, false if there is none or it has expired.
func find(kernel []bpf.Entry, prefix netip.Prefix, now time.Time) (bpf.Entry, bool) {
	i, found := slices.BinarySearchFunc(kernel, prefix, func(e bpf.Entry, p netip.Prefix) int { return compare(e.Prefix, p) })
	if !found || !kernel[i].Expires.IsZero() && !kernel[i].Expires.After(now) {
		return bpf.Entry{}, false
	}
	return kernel[i], true
}

// lineOf returns the first line of a feed that has addr, 0 if there is none or the file cannot be read.
func lineOf(path string, addr netip.Addr) int {
	file, _, err := openRegular(path)
	if err != nil {
		return 0
	}
	defer file.Close() //nolint:errcheck // was only read
	in := bufio.NewReaderSize(io.LimitReader(file, maxFeedBytes), maxLine)
	var found []netip.Prefix
	for number := 1; ; number++ {
		line, err := readLine(in)
		found, _ = parseLine(string(line), found[:0]) // a line that cannot be used has no prefix
		if slices.ContainsFunc(found, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			return number
		}
		if err != nil && !errors.Is(err, errLong) {
			return 0
		}
	}
}
