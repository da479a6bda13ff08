package audit

import (
	"bytes"
	"path/filepath"
	"slices"
)

// Known reports whether the action id, at streamSeq of its stream, is in the trail. It answers from
// memory for a new sequence and for the newest 16,384 ids, else it reads the files.
func (t *Trail) Known(id string, streamSeq uint64) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen.has(id) {
		return true, nil
	}
	if streamSeq > t.seen.high {
		return false, nil
	}
	found, err := find(t.dir, id)
	if err == nil && !found {
		// The stream was begun anew: its sequences are low and will rise again.
		t.seen.high = streamSeq
	}
	return found, err
}

// find looks for an action record of id, in the newest segment first.
func find(dir, id string) (bool, error) {
	names, err := segments(dir)
	if err != nil {
		return false, err
	}
	slices.Reverse(names)
	needle := append(append([]byte(`"id":`), quote(id)...), `,"stream_seq":`...)
	for _, name := range names {
		found, err := findIn(dir, name, needle, id)
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func findIn(dir, name string, needle []byte, id string) (bool, error) {
	f, err := openRead(filepath.Join(dir, name))
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only read
	found := false
	_, err = readSegment(f, name, func(_ place, line []byte) {
		if found || !bytes.Contains(line, needle) {
			return
		}
		r, err := decodeLine(line)
		found = err == nil && r.Kind == Action && r.ID == id
	})
	return found, err
}
