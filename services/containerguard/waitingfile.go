package containerguard

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/folder"
)

// maxAnswerSize bounds the file of an answer: an alert and its steps.
const maxAnswerSize = 2 * event.MaxSize

// openWaitingList reads the answers that wait, a file each, so that a restart loses none. A file that is no answer is removed.
func openWaitingList(dataDir string) (*waitingList, error) {
	files, err := folder.Open(filepath.Join(dataDir, "answers"))
	if err != nil {
		return nil, fmt.Errorf("directory of waiting answers: %w", err)
	}
	l := newWaitingList()
	l.files = files
	names, err := files.Names()
	for _, name := range names {
		w := &waitingAnswer{}
		data, bad := files.Read(name, maxAnswerSize)
		if bad != nil && !errors.Is(bad, folder.ErrTooLong) && !errors.Is(bad, folder.ErrNoFile) {
			err = bad
			break
		}
		if bad == nil {
			bad = json.Unmarshal(data, w)
		}
		if bad != nil || w.Alert == nil || name != answerFile(w.key()) {
			err = files.Remove(name)
		} else if len(l.byKey) < maxWaiting {
			l.byKey[w.key()] = w
		}
		if err != nil {
			break
		}
	}
	if err != nil {
		_ = files.Close() // nothing was written
		return nil, fmt.Errorf("directory of waiting answers: %w", err)
	}
	return l, nil
}

func answerFile(key string) string { return event.ID("answer", key) + ".json" }

// save writes what changed. After an error it is kept in memory, and written by the next save.
func (l *waitingList) save() error {
	l.saves.Lock()
	defer l.saves.Unlock()
	l.mu.Lock()
	changed := l.unsaved
	l.unsaved = map[string]bool{}
	answers := map[string]*waitingAnswer{}
	for key := range changed {
		answers[key] = l.byKey[key]
	}
	l.mu.Unlock()
	for key, w := range answers {
		if err := l.write(answerFile(key), w); err != nil {
			l.mu.Lock()
			for key := range changed {
				l.unsaved[key] = true
			}
			l.mu.Unlock()
			return fmt.Errorf("save waiting answers: %w", err)
		}
		delete(changed, key)
	}
	return nil
}

func (l *waitingList) write(name string, w *waitingAnswer) error {
	if w == nil {
		return l.files.Remove(name)
	}
	data, err := json.Marshal(w)
	if err != nil {
		return err
	}
	return l.files.Write(name, data)
}

func (l *waitingList) close() error {
	if l == nil || l.files == nil {
		return nil
	}
	return l.files.Close()
}

// expire removes the steps whose time is over, and returns them.
func (l *waitingList) expire(now time.Time) []*waitingAnswer {
	return l.removeSteps(func(s waitingStep) bool { return !s.Until.After(now) })
}
