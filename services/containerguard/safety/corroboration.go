package safety

import (
	"maps"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/folder"
)

const (
	maxSubjects = 2048 // beyond it the one whose newest alert is oldest is forgotten
	maxSources  = 16   // of one subject: more than a policy can require
)

// Corroboration remembers, for policies that require several independent alerts, which
// sources had one. It is on disk when Save returns. Its methods may be called concurrently.
type Corroboration struct {
	file stateFile

	mu       sync.Mutex
	version  uint64
	subjects map[string]map[string]time.Time // policy and target → rule or module → newest alert; both hashed
}

// NewCorroboration returns one without alerts, in memory only. Save must not be called.
func NewCorroboration() *Corroboration {
	return &Corroboration{subjects: map[string]map[string]time.Time{}}
}

// OpenCorroboration reads the corroboration in files, as OpenState does.
func OpenCorroboration(files *folder.Folder) (c *Corroboration, damage string, err error) {
	c = &Corroboration{file: stateFile{folder: files, name: "corroboration.json"}}
	damage, err = c.file.load(&c.subjects)
	if damage != "" || c.subjects == nil {
		c.subjects = map[string]map[string]time.Time{}
	}
	return c, damage, err
}

// Add adds an alert of source about subject and returns how many sources had one within
// the time before now. Subjects and sources may be texts from outside of any length.
func (c *Corroboration) Add(subject, source string, within time.Duration, now time.Time) int {
	subject, source = event.ID(subject), event.ID(source) // bounded keys
	c.mu.Lock()
	defer c.mu.Unlock()
	sources := c.subjects[subject]
	if sources == nil {
		if len(c.subjects) >= maxSubjects {
			c.evictOldest()
		}
		sources = map[string]time.Time{}
		c.subjects[subject] = sources
	}
	maps.DeleteFunc(sources, func(_ string, at time.Time) bool { return now.Sub(at) > within })
	if _, known := sources[source]; known || len(sources) < maxSources {
		sources[source] = now.UTC()
		c.version++
	}
	return len(sources)
}

func (c *Corroboration) evictOldest() {
	oldest, oldestAt := "", time.Time{}
	for subject, sources := range c.subjects {
		var newest time.Time
		for _, at := range sources {
			if at.After(newest) {
				newest = at
			}
		}
		if oldest == "" || newest.Before(oldestAt) {
			oldest, oldestAt = subject, newest
		}
	}
	delete(c.subjects, oldest)
}

// Save is like State.Save.
func (c *Corroboration) Save() error {
	c.mu.Lock()
	version := c.version
	c.mu.Unlock()
	return c.file.save(version, func() (any, uint64) {
		c.mu.Lock()
		defer c.mu.Unlock()
		out := make(map[string]map[string]time.Time, len(c.subjects))
		for subject, sources := range c.subjects {
			out[subject] = maps.Clone(sources)
		}
		return out, c.version
	})
}
