package logpipeline

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ironpost/ironpost/services/logpipeline/syslog"
)

const (
	// maxBehind is how far a source may be behind before that is a health reason.
	maxBehind = 30 * time.Second
	// behindListed bounds the sources that Health and the metrics name.
	behindListed = 10
)

// sourceAge says how far a source is behind: the age of its oldest input that is not processed.
type sourceAge struct {
	source string
	age    time.Duration
}

// behind returns the sources that are behind the longest, at most behindListed, longest first.
func (n snapshot) behind(isSpool func(path string) bool) []sourceAge {
	ages := map[string]time.Duration{}
	for _, f := range n.tail.Behind {
		source := "file:" + f.Path
		if isSpool(f.Path) {
			source = "syslog:" + cmp.Or(syslog.SenderOf(f.Path), "all")
		}
		ages[source] = max(ages[source], f.Age)
	}
	for _, c := range n.docker.Behind {
		ages["container:"+c.Name] = c.Age
	}
	for _, j := range n.journal.Behind {
		ages["journal:"+j.Name] = j.Age
	}
	if n.packetAge > 0 {
		ages["packets"] = n.packetAge
	}
	out := make([]sourceAge, 0, len(ages))
	for source, age := range ages {
		out = append(out, sourceAge{source, age})
	}
	slices.SortFunc(out, func(a, b sourceAge) int {
		return cmp.Or(cmp.Compare(b.age, a.age), cmp.Compare(a.source, b.source))
	})
	return out[:min(len(out), behindListed)]
}

// oldest returns how far the source is behind that is behind the longest.
func (n snapshot) oldest() time.Duration {
	if len(n.sources) == 0 {
		return 0
	}
	return n.sources[0].age
}

// behindReasons returns why the module is degraded because sources are behind.
func behindReasons(sources []sourceAge) (reasons []string) {
	for _, s := range sources {
		if s.age > maxBehind {
			reasons = append(reasons, fmt.Sprintf("%s is %d s behind: its lines wait", s.source, int(s.age.Seconds())))
		}
	}
	return reasons
}
