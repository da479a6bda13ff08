package blocklist

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// AcceptFeedRequest asks to put a feed in force that was refused because it fell below half of its size.
type AcceptFeedRequest struct {
	File   string `json:"file"`
	Reason string `json:"reason,omitempty"`
}

// AcceptedFeed says what the acceptance of a feed changed.
type AcceptedFeed struct {
	File string `json:"file"`
	// Before and Now are the prefixes of the contents in force and of those accepted.
	Before int `json:"before"`
	Now    int `json:"now"`
}

// refusal is a state of a feed that fell below half of its size, and how many prefixes it holds.
type refusal struct {
	version  version
	prefixes int
}

// acceptRequest asks the goroutine of the files to accept the feed at path.
type acceptRequest struct {
	path  string
	reply chan<- acceptReply
}

type acceptReply struct {
	feed AcceptedFeed
	err  error
}

// AcceptFeed puts the present contents of a feed that fell below half of its size in force. It returns an error for a file
// that is no feed or is not refused.
func (r *Reconciler) AcceptFeed(ctx context.Context, path string) (AcceptedFeed, error) {
	reply := make(chan acceptReply, 1)
	select {
	case <-ctx.Done():
		return AcceptedFeed{}, ctx.Err()
	case r.accepts <- acceptRequest{path: filepath.Clean(path), reply: reply}:
		answer := <-reply
		return answer.feed, answer.err
	}
}

// accept makes the next check take the contents that were refused.
func (f *feedFiles) accept(path string) (AcceptedFeed, error) {
	for _, file := range f.all {
		if filepath.Clean(file.path) != path {
			continue
		}
		if file.refused == nil {
			return AcceptedFeed{}, fmt.Errorf("%s is not refused, its contents are in force", path)
		}
		file.accepted, file.read = file.refused.version, version{}
		return AcceptedFeed{File: path, Before: len(file.prefixes), Now: file.refused.prefixes}, nil
	}
	return AcceptedFeed{}, fmt.Errorf("%s is not in ebpf.blocklist_files of this host", path)
}

// checkShrunk returns why a feed of that many prefixes is refused; nil if it is not, or was accepted by an operator.
func (f *feedFile) checkShrunk(prefixes int, read version, now time.Time) error {
	f.refused = nil
	largest := f.sizes.largest(now)
	if 2*prefixes >= largest {
		return nil
	}
	if read.equal(f.accepted) {
		f.sizes = nil
		return nil
	}
	f.refused = &refusal{version: read, prefixes: prefixes}
	return fmt.Errorf("refused: it has %d prefixes, less than half of the %d it had within 24 h; if that is right: ironpost blocklist accept %s",
		prefixes, largest, f.path)
}
