package advisory

import (
	"encoding/binary"
	"errors"
	"time"
)

var errMalformed = errors.New("the record is malformed")

// decode reads the stored form. Of the affected packages it keeps those that keep wants, all if keep is nil; details and references
// are left out unless text is set. The result shares no memory with b.
func decode(b []byte, text bool, keep func(ecosystem, name string) bool) (*Advisory, error) {
	d := decoder{rest: b}
	a := &Advisory{}
	a.ID = d.str()
	a.Aliases = d.strs()
	a.Upstream = d.strs()
	a.Summary = d.str()
	a.Rating = d.str()
	a.Published, a.Modified, a.Withdrawn = d.time(), d.time(), d.time()
	a.Severities = d.severities()
	if t := (decoder{rest: d.block()}); text {
		a.Details = t.str()
		a.References = t.strs()
		d.bad = d.bad || t.bad
	}
	for range d.count(4) {
		entry := decoder{rest: d.block()}
		if affected, ok := entry.affected(keep); ok {
			a.Affected = append(a.Affected, affected)
		}
		d.bad = d.bad || entry.bad
	}
	if d.bad || len(d.rest) > 0 {
		return nil, errMalformed
	}
	return a, nil
}

// decoder reads values from the front of rest. After the first that does not fit, bad is set and all values are zero.
type decoder struct {
	rest []byte
	bad  bool
}

// affected reads a package, and reports whether keep wants it.
func (d *decoder) affected(keep func(ecosystem, name string) bool) (Affected, bool) {
	a := Affected{Ecosystem: d.str(), Name: d.str()}
	if d.bad || keep != nil && !keep(a.Ecosystem, a.Name) {
		return Affected{}, false
	}
	a.Rating = d.str()
	a.Severities = d.severities()
	a.Versions = d.strs()
	if n := d.count(2); n > 0 {
		a.Ranges = make([]Range, n)
	}
	for i := range a.Ranges {
		a.Ranges[i].Type = RangeType(d.str())
		if n := d.count(4); n > 0 {
			a.Ranges[i].Events = make([]Event, n)
		}
		for j := range a.Ranges[i].Events {
			a.Ranges[i].Events[j] = Event{Introduced: d.str(), Fixed: d.str(), LastAffected: d.str(), Limit: d.str()}
		}
	}
	return a, !d.bad
}

func (d *decoder) severities() []Severity {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	list := make([]Severity, n)
	for i := range list {
		list[i] = Severity{Type: d.str(), Score: d.str()}
	}
	return list
}

func (d *decoder) strs() []string {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.str()
	}
	return list
}

func (d *decoder) str() string {
	n := d.count(1)
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) time() time.Time {
	seconds, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return time.Time{}
	}
	d.rest = d.rest[n:]
	nanos := d.number()
	if nanos >= uint64(time.Second) {
		d.fail()
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads the length of a list whose values take at least size bytes each, so that no list is larger than what is left.
func (d *decoder) count(size int) int {
	n := d.number()
	if n > uint64(len(d.rest)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) block() []byte {
	if len(d.rest) < 4 {
		d.fail()
		return nil
	}
	n := uint64(binary.LittleEndian.Uint32(d.rest))
	if n > uint64(len(d.rest)-4) {
		d.fail()
		return nil
	}
	b := d.rest[4 : 4+n]
	d.rest = d.rest[4+n:]
	return b
}

func (d *decoder) fail() { d.rest, d.bad = nil, true }
