package containerguard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// EvidenceRequest asks for the evidence of an action, named by its id or a prefix of
// it, or of an isolated container. Without File the reply is the manifest, else a part
// of that file from Offset on.
type EvidenceRequest struct {
	Action string `json:"action"`
	File   string `json:"file,omitempty"`
	Offset int64  `json:"offset,omitempty"`
}

// EvidenceReply is the manifest, or a part of a file. Next is the offset of the next
// part, 0 after the last.
type EvidenceReply struct {
	Action    string          `json:"action"`
	Directory string          `json:"folder"`
	Manifest  json.RawMessage `json:"manifest,omitempty"`
	Data      []byte          `json:"data,omitempty"`
	Next      int64           `json:"next,omitempty"`
}

const (
	evidenceDir     = "evidence"
	manifestFile    = "manifest.json"
	maxEvidencePart = 256 << 10 // a message on the bus has at most 1 MiB, and base64 adds a third
)

var evidenceName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// evidenceVerb answers VerbEvidence.
func (s *Service) evidenceVerb(_ context.Context, body []byte) (any, error) {
	var r EvidenceRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	action, err := s.findEvidence(r.Action)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.deps.DataDir, evidenceDir, action)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("evidence of %s: %w", action, err)
	}
	defer func() { _ = root.Close() }() // only read
	reply := EvidenceReply{Action: action, Directory: dir}
	if r.File == "" {
		reply.Manifest, err = readManifest(root)
		return reply, err
	}
	if r.File != filepath.Base(r.File) || strings.HasPrefix(r.File, ".") {
		return nil, fmt.Errorf("%q is not a file of the evidence", r.File)
	}
	reply.Data, reply.Next, err = readPart(root, r.File, r.Offset)
	return reply, err
}

// findEvidence returns the action whose evidence is meant by text: the name or id of an
// isolated container, or the id of an action or a prefix of it.
func (s *Service) findEvidence(text string) (string, error) {
	run := s.run.Load()
	if id, err := run.quarantine.Find(text); err == nil {
		if e, known := run.quarantine.Get(id); known && e.Evidence != "" {
			return filepath.Base(e.Evidence), nil
		}
	}
	if !evidenceName.MatchString(text) {
		return "", fmt.Errorf("%q is neither an action nor an isolated container", text)
	}
	entries, err := os.ReadDir(filepath.Join(s.deps.DataDir, evidenceDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var found []string
	for _, e := range entries {
		if e.Name() == text {
			return text, nil
		}
		if len(text) >= minIDPrefix && strings.HasPrefix(e.Name(), text) {
			found = append(found, e.Name())
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("there is no evidence of %q; ironpost quarantine list shows isolated containers", text)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%d actions begin with %q", len(found), text)
}

func readManifest(root *os.Root) (json.RawMessage, error) {
	data, _, err := readPart(root, manifestFile, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("the evidence is still being collected")
	}
	if err == nil && !json.Valid(data) {
		err = errors.New("the manifest is damaged")
	}
	return data, err
}

func readPart(root *os.Root, name string, offset int64) (data []byte, next int64, err error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() || offset < 0 {
		return nil, 0, fmt.Errorf("%q is not a file of the evidence", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }() // only read
	data, err = io.ReadAll(io.NewSectionReader(f, offset, maxEvidencePart))
	if end := offset + int64(len(data)); err == nil && end < info.Size() {
		next = end
	}
	return data, next, err
}
