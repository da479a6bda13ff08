// Package setting has the checks with which a module validates its own configuration. A check returns "" or a sentence; a [Problem]
// is a key with that sentence. It imports no package of ours, so services use it without knowing how a configuration is read;
// internal/config adds file:line:column, or the name of the variable that set the value.
package setting

import "fmt"

// Problem is one value that may not be used.
type Problem struct {
	// Key is relative to the section that reports it: "batch_size", "storage.redis_url", or "watch_paths.2" for the third element of a list.
	Key string
	// What states the mistake and what is allowed. It never holds the value of a secret.
	What string
}

// String returns "key: what".
func (p Problem) String() string {
	return p.Key + ": " + p.What
}

// Problems collects the results of several checks; the zero value is ready. It is not safe for concurrent use.
type Problems []Problem

// Add appends a problem with key unless what is empty, so the result of a check can be passed as it is.
func (p *Problems) Add(key, what string) {
	if what != "" {
		*p = append(*p, Problem{Key: key, What: what})
	}
}

// Addf appends a problem with a formatted explanation.
func (p *Problems) Addf(key, format string, args ...any) {
	p.Add(key, fmt.Sprintf(format, args...))
}

// Each checks every element of a list and names the bad ones by their index: key "watch_paths" and element 2 give "watch_paths.2".
func (p *Problems) Each(key string, values []string, check func(string) string) {
	for i, v := range values {
		p.Add(fmt.Sprintf("%s.%d", key, i), check(v))
	}
}

// Under returns the problems with every key moved below section.
func (p Problems) Under(section string) Problems {
	moved := make(Problems, 0, len(p))
	for _, problem := range p {
		moved = append(moved, Problem{Key: section + "." + problem.Key, What: problem.What})
	}
	return moved
}
