package blocklist

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/bus"
)

// Allowed is the kind of the prefixes of ebpf.allow.
const Allowed = "allowed"

// The bounds of one file of allowed prefixes.
const (
	maxAllowBytes = 1 << 20
	maxAllowed    = 1024 // of all files and the configuration
)

// IsAllowFile reports whether an element of ebpf.allow names a file.
func IsAllowFile(element string) bool { return strings.HasPrefix(element, "/") }

// CheckAllowed returns why an element of ebpf.allow that is no file cannot be used.
func CheckAllowed(element string) error {
	_, err := bus.ParseBlockPrefix(element)
	return err
}

// allowList is the prefixes of ebpf.allow. It is for one goroutine at a time.
type allowList struct {
	fixed []ProtectedAddress // of the configuration
	files []*allowFile
}

// allowFile is one file of ebpf.allow. Its last readable contents stay in force while it cannot be read.
type allowFile struct {
	path     string
	found    []ProtectedAddress
	problems []error
	read     version
}

// newAllowList takes the elements of ebpf.allow; those that are neither a prefix nor a file were refused before.
func newAllowList(elements []string) *allowList {
	a := &allowList{}
	for _, element := range elements {
		if IsAllowFile(element) {
			a.files = append(a.files, &allowFile{path: element})
			continue
		}
		if p, err := bus.ParseBlockPrefix(element); err == nil {
			a.fixed = append(a.fixed, ProtectedAddress{Prefix: p, Kind: Allowed, From: "ebpf.allow"})
		}
	}
	return a
}

// refresh reads the files that have changed and returns all prefixes, and what cannot be used.
func (a *allowList) refresh() (all []ProtectedAddress, problems []error) {
	all = slices.Clone(a.fixed)
	for _, f := range a.files {
		f.refresh()
		all, problems = append(all, f.found...), append(problems, f.problems...)
	}
	if len(all) > maxAllowed {
		problems = append(problems, fmt.Errorf("ebpf.allow has %d prefixes, the first %d are in force", len(all), maxAllowed))
		all = all[:maxAllowed]
	}
	return all, problems
}

func (f *allowFile) refresh() {
	in, now, err := openRegular(f.path)
	if err != nil {
		f.problems, f.read = []error{fmt.Errorf("%s: %w", f.path, withoutPath(err))}, version{}
		return
	}
	defer in.Close() //nolint:errcheck // was only read
	if now.equal(f.read) {
		return
	}
	found, problems, err := ReadAllowed(in, f.path)
	if err != nil {
		f.problems, f.read = []error{err}, version{}
		return
	}
	f.found, f.problems, f.read = found, problems, now
}

// ReadAllowed reads a file of allowed prefixes: one address or prefix a line, with comments after #. Each line that cannot be
// used is a problem, named by file:line:column, at most ten; the other lines hold. The error is for a file that cannot be read to
// its end, or that is larger than 1 MiB.
func ReadAllowed(r io.Reader, path string) (found []ProtectedAddress, problems []error, err error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAllowBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, withoutPath(err))
	}
	if len(text) > maxAllowBytes {
		return nil, nil, fmt.Errorf("%s: larger than %d bytes", path, maxAllowBytes)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxAllowBytes+1)
	for number := 1; lines.Scan(); number++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		word := strings.TrimSpace(line)
		if word == "" {
			continue
		}
		p, err := bus.ParseBlockPrefix(word)
		switch {
		case err == nil:
			found = append(found, ProtectedAddress{Prefix: p, Kind: Allowed, From: fmt.Sprintf("%s:%d", path, number)})
		case len(problems) < maxNamedBad:
			problems = append(problems, fmt.Errorf("%s:%d:%d: %w", path, number, strings.Index(line, word)+1, err))
		}
	}
	return found, problems, errors.Join(lines.Err())
}
