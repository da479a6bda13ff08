// Package manifest keeps, in a small file apart from the store of the bus, what was there: the sequences of streams,
// the floors of durables, the entries of buckets, and the files of the data folder. At the next start it is compared
// with what is there then, so that a loss is told that the store itself cannot know of.
package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/ironpost/ironpost/internal/atomicfile"
	"github.com/ironpost/ironpost/internal/checksum"
)

const (
	version = 1
	// maxSize bounds what is read of a manifest.
	maxSize = 64 << 20
	// shown is how long a loss stays in the manifest, and a reason.
	shown = 24 * time.Hour
	// maxLosses bounds those that are kept; the oldest give way.
	maxLosses = 100
)

// Manifest is what was there at its last save. The zero value knows nothing.
type Manifest struct {
	Version int       `json:"version"`
	Saved   time.Time `json:"saved"`
	// Clean says that it was saved at the end of a stop, after which nothing changed.
	Clean   bool   `json:"clean"`
	Machine string `json:"machine"` // the id of machine-id

	Streams  map[string]Stream  `json:"streams,omitempty"`  // also those of buckets
	Durables map[string]Durable `json:"durables,omitempty"` // by DurableKey
	Entries  map[string][]Entry `json:"entries,omitempty"`  // by bucket
	Files    map[string]File    `json:"files,omitempty"`    // by path in the data folder
	Losses   []Loss             `json:"losses,omitempty"`
}

// Durable is how far a durable was.
type Durable struct {
	Stream    string `json:"stream"`
	Name      string `json:"name"`
	Done      uint64 `json:"done"`  // through which sequence it needs nothing
	Floor     uint64 `json:"floor"` // its ack floor
	Delivered uint64 `json:"delivered"`
}

// DurableKey returns the key of a durable.
func DurableKey(stream, name string) string { return stream + "/" + name }

// Entry is the newest value of a key.
type Entry struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// Loss is something that was found to be lost or damaged.
type Loss struct {
	Module string    `json:"module"`
	Text   string    `json:"text"`
	At     time.Time `json:"at"`
}

// AddLoss notes a loss, so that it is a reason for a day, also after another start.
func (m *Manifest) AddLoss(module, text string, now time.Time) {
	m.Losses = append(m.Losses, Loss{Module: module, Text: text, At: now.UTC()})
	m.Losses = m.Losses[max(0, len(m.Losses)-maxLosses):]
}

// Reasons returns the losses of the last day as sentences, by module.
func (m *Manifest) Reasons(now time.Time) map[string][]string {
	out := map[string][]string{}
	for _, l := range m.Losses {
		if now.Sub(l.At).Abs() < shown {
			out[l.Module] = append(out[l.Module], "found at "+l.At.Format(time.RFC3339)+": "+l.Text)
		}
	}
	return out
}

// Load reads the manifest at path; found is false if there is none. One that is damaged is renamed, and reason says so.
// The error is for one that can be neither read nor renamed.
func Load(path string) (m Manifest, found bool, reason string, err error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, false, "", nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxSize) {
		err = errors.New("it is no file, or too large")
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err == nil {
		if m, err = decode(text); err == nil {
			return m, true, "", nil
		}
	}
	aside := path + ".bad-" + time.Now().UTC().Format("20060102T150405")
	if renamed := os.Rename(path, aside); renamed != nil {
		return Manifest{}, false, "", fmt.Errorf("manifest is unusable: %w; and it cannot be renamed: %w", err, renamed)
	}
	return Manifest{}, false, fmt.Sprintf("the manifest was damaged: %v; moved to %s: what was lost before this start is unknown", err, aside), nil
}

func decode(text []byte) (m Manifest, err error) {
	sealed, err := checksum.Check(text)
	if err == nil && !sealed {
		err = errors.New("it has no checksum")
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err == nil && m.Version != version {
		err = fmt.Errorf("it has version %d, this program reads %d", m.Version, version)
	}
	return m, err
}

// Save writes the manifest to path, so that the old or the new one is there after a crash at any moment.
func (m Manifest) Save(path string, now time.Time) error {
	m.Version, m.Saved = version, now.UTC()
	text, err := json.Marshal(m)
	if err == nil {
		err = atomicfile.WriteFile(path, checksum.Add(text), 0o600)
	}
	if err != nil {
		return fmt.Errorf("manifest of what is stored: %w", err)
	}
	return nil
}
