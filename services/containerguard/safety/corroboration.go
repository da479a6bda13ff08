package safety

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"sync"
	"time"

	"github.com/ironpost/ironpost/services/containerguard/folder"
)

const (
	maxSubjects = 2048 // beyond it the one that was spoken for longest ago goes
	maxSources  = 16   // of one matter: more than a policy can want
)

// Corroboration remember, for policies that want several independent alerts, who spoke for
// them. They are on disk when Save returns. Its methods may be called concurrently.
type Corroboration struct {
	file stateFile

	mu       sync.Mutex
	version  uint64
	subjects map[string]map[string]time.Time // policy and target → rule or module → when; both hashed
}

// OpenCorroboration reads the votes in files, which need not be there. What it returns is as Open does.
func OpenCorroboration(files *folder.Folder) (v *Corroboration, trouble string, err error) {
	v = &Corroboration{file: stateFile{folder: files, name: "votes.json"}}
	trouble, err = v.file.load(&v.subjects)
	if trouble != "" || v.subjects == nil {
		v.subjects = map[string]map[string]time.Time{}
	}
	return v, trouble, err
}

// Hear notes one voice about a matter and returns how many spoke within the span.
func (v *Corroboration) Add(matter, voice string, within time.Duration, now time.Time) int {
	matter, voice = digest(matter), digest(voice)
	v.mu.Lock()
	defer v.mu.Unlock()
	voices := v.subjects[matter]
	if voices == nil {
		v.evictOldest()
		voices = map[string]time.Time{}
		v.subjects[matter] = voices
	}
	maps.DeleteFunc(voices, func(_ string, at time.Time) bool { return now.Sub(at) > within })
	if _, known := voices[voice]; known || len(voices) < maxSources {
		voices[voice] = now.UTC()
		v.version++
	}
	return len(voices)
}

func (v *Corroboration) evictOldest() {
	if len(v.subjects) < maxSubjects {
		return
	}
	first, oldest := "", time.Time{}
	for matter, voices := range v.subjects {
		if at := newest(voices); first == "" || at.Before(oldest) {
			first, oldest = matter, at
		}
	}
	delete(v.subjects, first)
}

func newest(voices map[string]time.Time) (at time.Time) {
	for _, t := range voices {
		if t.After(at) {
			at = t
		}
	}
	return at
}

// Save is as Memory.Save.
func (v *Corroboration) Save() error {
	v.mu.Lock()
	version := v.version
	v.mu.Unlock()
	return v.file.commit(version, func() (any, uint64) {
		v.mu.Lock()
		defer v.mu.Unlock()
		out := make(map[string]map[string]time.Time, len(v.subjects))
		for matter, voices := range v.subjects {
			out[matter] = maps.Clone(voices)
		}
		return out, v.version
	})
}

// digest makes a key of a known length of text from outside.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
