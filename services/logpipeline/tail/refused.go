package tail

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Reasons for which a path is refused; keys of Stats.Refused.
const (
	RefusedKind     = "not_regular" // a folder, a pipe, a socket, a device
	RefusedLink     = "link"        // a symbolic link of another user than its target's
	RefusedHardLink = "hard_link"   // a second name of a file, in a folder of another user
	RefusedKernel   = "kernel_file" // in /proc, /sys and the like
	RefusedShare    = "share"       // more files than Config.MaxFiles, and the most of this user

	RefusedCompressed = "compressed" // compressed, and no rotation of a followed file
	RefusedBinary     = "binary"     // no text
)

// RefusedReasons returns every key that Stats.Refused may have.
func RefusedReasons() []string {
	return []string{RefusedKind, RefusedLink, RefusedHardLink, RefusedKernel, RefusedShare, RefusedCompressed, RefusedBinary}
}

// refusedError is the error for what is there and is not followed, whatever its permissions are.
type refusedError struct{ path, reason, what string }

func (e *refusedError) Error() string { return e.path + " " + e.what }

func refuseKind(path, kind string) error {
	return &refusedError{path, RefusedKind, fmt.Sprintf("is %s: only regular files are followed", kind)}
}

// refuseContent is the error for a file that is no text but of this kind.
func refuseContent(path, kind string) error {
	if kind == kindBinary {
		return &refusedError{path, RefusedBinary, "is no text: it is not read; leave it out of watch_paths"}
	}
	return &refusedError{path, RefusedCompressed, "is compressed (" + kind + ") and no rotation of a followed file: it is not read; leave it out of watch_paths"}
}

func isRefused(err error) bool {
	_, ok := errors.AsType[*refusedError](err)
	return ok
}

// fault is why a path is not followed, for the operator. The zero value is none.
type fault struct{ reason, text string }

// maxFaultsNamed is how many paths with faults of one reason have a sentence each. More are counted: whoever makes files in a watched
// folder must not hide other reasons.
const maxFaultsNamed = 3

// faultReasons returns sentences about faults, which are sorted by path.
func faultReasons(faults []fault) (sentences []string) {
	byReason := map[string][]fault{}
	for _, f := range faults {
		byReason[f.reason] = append(byReason[f.reason], f)
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		same := byReason[reason]
		for _, f := range same[:min(len(same), maxFaultsNamed)] {
			sentences = append(sentences, f.text)
		}
		if n := len(same) - maxFaultsNamed; n > 0 {
			sentences = append(sentences, fmt.Sprintf("%d more paths are not followed for the same reason as the last one (%s)", n, reason))
		}
	}
	return sentences
}
