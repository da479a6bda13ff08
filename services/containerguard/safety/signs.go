package safety

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/internal/folder"
)

const (
	// SignTime is how long a sign is remembered.
	SignTime      = time.Hour // as policy.Require allows at most
	maxSigned     = 1024      // containers; beyond it the one whose newest sign is oldest is forgotten
	maxSignsEach  = 8         // sensors of one container
	maxSignDetail = 256       // bytes of What
)

// Sign is one observation that a container is in the hands of an attacker.
type Sign struct {
	Sensor string    `json:"sensor"`           // what observed it; two signs of one sensor are one
	Effect bool      `json:"effect,omitempty"` // the container itself caused it: whoever sends it requests cannot write it into a log
	What   string    `json:"what"`             // for people
	At     time.Time `json:"at"`
	// Holds is how long it is a sign, if not for all the time that is asked for.
	Holds time.Duration `json:"holds,omitempty"`
}

// Signs remembers the newest sign of each sensor about each container, and which servers answer everything. It is on disk when Save returns. Its methods may be
// called concurrently.
type Signs struct {
	file stateFile

	mu      sync.Mutex
	version uint64
	data    signData
}

type signData struct {
	About   map[string]map[string]Sign `json:"about"`   // container id → sensor
	Servers map[string]*answered       `json:"servers"` // by place, hashed
}

func newSignData() signData {
	return signData{About: map[string]map[string]Sign{}, Servers: map[string]*answered{}}
}

// NewSigns returns one without signs, in memory only. Save must not be called.
func NewSigns() *Signs { return &Signs{data: newSignData()} }

// OpenSigns reads the signs in files, as OpenState does.
func OpenSigns(files *folder.Folder) (s *Signs, damage string, err error) {
	s = &Signs{file: stateFile{folder: files, name: "signs.json"}}
	damage, err = s.file.load(&s.data)
	if damage != "" || s.data.About == nil || s.data.Servers == nil {
		s.data = newSignData()
	}
	return s, damage, err
}

// Note remembers a sign about a container, in place of an older one of the same sensor, and reports whether it is newer than that.
func (s *Signs) Note(container string, sign Sign) bool {
	sign.What, sign.At = sign.What[:min(len(sign.What), maxSignDetail)], sign.At.UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	signs := s.data.About[container]
	if signs == nil {
		if len(s.data.About) >= maxSigned {
			s.forgetOldest()
		}
		signs = map[string]Sign{}
		s.data.About[container] = signs
	}
	before, known := signs[sign.Sensor]
	if known && !sign.At.After(before.At) || !known && len(signs) >= maxSignsEach {
		return false
	}
	signs[sign.Sensor] = sign
	s.version++
	return true
}

func (s *Signs) forgetOldest() {
	newest := func(signs map[string]Sign) (at time.Time) {
		for _, sign := range signs {
			if sign.At.After(at) {
				at = sign.At
			}
		}
		return at
	}
	ids := slices.Collect(maps.Keys(s.data.About))
	delete(s.data.About, slices.MinFunc(ids, func(a, b string) int { return newest(s.data.About[a]).Compare(newest(s.data.About[b])) }))
}

// About returns the signs about a container within the time before now, those of effects first.
func (s *Signs) About(container string, within time.Duration, now time.Time) []Sign {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Sign
	for sensor, sign := range s.data.About[container] {
		switch age := now.Sub(sign.At); {
		case age > SignTime:
			delete(s.data.About[container], sensor)
		case age <= within && (sign.Holds == 0 || age <= sign.Holds):
			out = append(out, sign)
		}
	}
	slices.SortFunc(out, func(a, b Sign) int {
		if a.Effect != b.Effect {
			return map[bool]int{true: -1, false: 1}[a.Effect]
		}
		return strings.Compare(a.Sensor, b.Sensor)
	})
	return out
}

// Remove forgets a container that is gone.
func (s *Signs) Remove(container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.data.About[container]; known {
		delete(s.data.About, container)
		s.version++
	}
}

// Save is like State.Save.
func (s *Signs) Save() error {
	s.mu.Lock()
	version := s.version
	s.mu.Unlock()
	return s.file.save(version, func() (any, uint64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		out := newSignData()
		for container, signs := range s.data.About {
			out.About[container] = maps.Clone(signs)
		}
		for place, a := range s.data.Servers {
			kept := *a
			out.Servers[place] = &kept
		}
		return out, s.version
	})
}

// Enough reports whether signs, one of each sensor, are of two sensors and one of them is an effect.
func Enough(signs []Sign) bool {
	return len(signs) > 1 && slices.ContainsFunc(signs, func(s Sign) bool { return s.Effect })
}
