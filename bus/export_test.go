package bus

import "time"

// WithDuplicates shortens how long the streams remember ids.
func (l Limits) WithDuplicates(d time.Duration) Limits {
	l.duplicates = d
	return l
}

// ForgetAfter tells p that its stream remembers ids for d.
func (p *Publisher) ForgetAfter(d time.Duration) { p.window = d }

// BeforePause has f called before each pause of p.
func (p *Publisher) BeforePause(f func()) {
	pause := p.pause
	p.pause = func(n int) time.Duration { f(); return pause(n) }
}

// Doubts reports whether p has attempts that nobody answered.
func (p *Publisher) Doubts() bool { return !p.doubt.since.IsZero() }

// The parsers of what comes from outside.
var (
	ReadGreeting  = readGreeting
	ReadLine      = readLine
	ServiceSemver = semver
)

// ParseAck returns what parseAck makes of data.
func ParseAck(data []byte) (stream string, seq uint64, duplicate, refused bool, err error) {
	a, err := parseAck(data)
	return a.Stream, a.Sequence, a.Duplicate, a.Error != nil, err
}
