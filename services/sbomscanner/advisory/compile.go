package advisory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
)

const (
	maxExamples   = 20
	maxEcosystems = 64 // in one source

	// A source of which more than this is refused is refused as a whole.
	maxRefused        = 20
	maxRefusedPercent = 10

	// A source with fewer records than this share of the imported ones is refused unless forced.
	minRecordsPercent = 90
)

// compiler makes index files of the records of one source.
type compiler struct {
	staging *os.Root
	source  *source
	indexes map[string]*staged

	refusals

	named   int // records that name a package
	payload []byte
}

// staged is an index that is being made.
type staged struct {
	Coverage
	builder *builder
	file    *os.File
	seen    map[uint64]struct{} // hashes of the ids
	named   int                 // records that name a package
}

// compile reads a whole source and writes an index file to staging for each ecosystem that the source has the records of.
func compile(ctx context.Context, staging *os.Root, s *source, progress func(done int)) (_ []Coverage, err error) {
	c := &compiler{staging: staging, source: s, indexes: make(map[string]*staged)}
	defer func() { err = errors.Join(err, c.close()) }()
	done := 0
	err = s.each(ctx, func(file string, content []byte, err error) error {
		if err == nil {
			err = c.add(content)
		}
		if err := c.refuse(file, err); err != nil {
			return err
		}
		done++
		progress(done)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.finish()
}

// add imports one record.
func (c *compiler) add(content []byte) error {
	a, err := parse(content)
	if err != nil {
		return err
	}
	bases := ecosystemsOf(a)
	if c.source.ecosystem != "" {
		if len(bases) > 0 && !slices.Contains(bases, c.source.ecosystem) {
			return refuse(refusedEcosystem, "it names packages of %s, not of %s", strings.Join(bases, ", "), c.source.ecosystem)
		}
		return c.addTo(c.source.ecosystem, a)
	}
	if len(bases) == 0 {
		return c.addTo(gitEcosystem, a)
	}
	c.named++
	for _, base := range bases {
		if err := c.addTo(base, a); err != nil {
			return err
		}
	}
	return nil
}

// ecosystemsOf returns the bases of the ecosystems whose packages a names, sorted.
func ecosystemsOf(a *Advisory) []string {
	var bases []string
	for _, affected := range a.Affected {
		base := Base(affected.Ecosystem)
		if affected.Name != "" && base != gitEcosystem && !slices.Contains(bases, base) && len(bases) < maxEcosystems {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	return bases
}

// addTo adds what a says about one ecosystem to the index of that.
func (c *compiler) addTo(base string, a *Advisory) error {
	x, err := c.index(base)
	if err != nil {
		return err
	}
	id := hashKey(a.ID)
	if _, ok := x.seen[id]; ok {
		return refuse(refusedDuplicate, "another record has the id %s", a.ID)
	}
	x.seen[id] = struct{}{}

	part := *a
	part.Affected = nil
	var names []string
	for _, affected := range a.Affected {
		if Base(affected.Ecosystem) == base && affected.Name != "" {
			part.Affected = append(part.Affected, affected)
			names = append(names, Normalize(base, affected.Name))
		}
	}
	if base == gitEcosystem {
		names = nil
	}
	c.payload = encode(c.payload[:0], &part)
	if err := x.builder.add(c.payload, names, append([]string{a.ID}, a.Aliases...)); err != nil {
		return fmt.Errorf("index %s: %w", base, err)
	}
	x.count(a, len(names) > 0)
	return nil
}

func (x *staged) count(a *Advisory, named bool) {
	x.Records++
	if named {
		x.named++
	}
	if !a.Withdrawn.IsZero() {
		x.Withdrawn++
	}
	if a.Modified.After(x.Newest) {
		x.Newest = a.Modified
	}
}

// index returns the index of an ecosystem, which it starts if need be.
func (c *compiler) index(base string) (*staged, error) {
	if x := c.indexes[base]; x != nil {
		return x, nil
	}
	if !validEcosystem(base) || base == kevFeed || base == epssFeed {
		return nil, refuse(refusedEcosystem, "%q is not the name of an ecosystem", event.Shorten(base, maxEcosystemName))
	}
	if len(c.indexes) == maxEcosystems {
		return nil, refuse(refusedEcosystem, "the source has more than %d ecosystems", maxEcosystems)
	}
	file, err := c.staging.OpenFile(base+".index", os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	b, err := newBuilder(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	x := &staged{Coverage: Coverage{Ecosystem: base}, builder: b, file: file, seen: make(map[uint64]struct{})}
	c.indexes[base] = x
	return x, nil
}

// finish checks what was read and completes the indexes.
func (c *compiler) finish() ([]Coverage, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	sum, err := c.source.hash()
	if err != nil {
		return nil, err
	}
	var all []Coverage
	for _, x := range c.chosen() {
		if x.FileSHA256, x.FileSize, err = x.builder.finish(); err != nil {
			return nil, fmt.Errorf("write the index of %s: %w", x.Ecosystem, err)
		}
		now := time.Now().UTC()
		x.Refused, x.Examples = c.refused, c.examples
		x.Source, x.SHA256 = c.source.name, sum
		x.Imported, x.Checked = now, now
		x.File = indexName(x.Ecosystem, x.FileSHA256)
		if err := c.staging.Rename(x.Ecosystem+".index", x.File); err != nil {
			return nil, err
		}
		all = append(all, x.Coverage)
	}
	return all, nil
}

// check refuses a source without records and one with too many refused ones.
func (c *compiler) check() error {
	records, refused := 0, 0
	for _, x := range c.indexes {
		records += x.Records
	}
	for _, n := range c.refused {
		refused += n
	}
	switch {
	case records == 0 && refused == 0:
		return errors.New("it has no records: a source has files called <ID>.json")
	case records == 0, refused > maxRefused && refused > (records+refused)*maxRefusedPercent/100:
		first := c.examples[0]
		return fmt.Errorf("%d of %d records are unusable (%s): the first is %s: %s: %s",
			refused, records+refused, reasons(c.refused), first.File, first.Reason, first.Detail)
	}
	return nil
}

// chosen returns the indexes to keep. A source that does not say whose records it has is the one of the ecosystem that every record
// names, which may name others too; without such an ecosystem it is a source of all that are named.
func (c *compiler) chosen() []*staged {
	var all, common []*staged
	for _, x := range c.indexes {
		all = append(all, x)
		if c.named > 0 && x.named == c.named {
			common = append(common, x)
		}
	}
	if len(common) > 0 {
		all = common
	}
	slices.SortFunc(all, func(a, b *staged) int { return cmp.Compare(a.Ecosystem, b.Ecosystem) })
	return all
}

// close removes the indexes that were not finished.
func (c *compiler) close() error {
	var err error
	for base, x := range c.indexes {
		err = errors.Join(err, x.file.Close())
		if x.File == "" {
			err = errors.Join(err, c.staging.Remove(base+".index"))
		}
	}
	return err
}

// reasons writes counts by reason, the most frequent first.
func reasons(counts map[string]int) string {
	keys := make([]string, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(counts[b]-counts[a], strings.Compare(a, b)) })
	for i, k := range keys {
		keys[i] = fmt.Sprintf("%s: %d", k, counts[k])
	}
	return strings.Join(keys, ", ")
}
