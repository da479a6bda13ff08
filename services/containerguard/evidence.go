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

// EvidenceRequest asks for the evidence of an action, named by its id or the
// beginning of it, or of a container that is held. Without File the answer is the
// manifest, else a part of that file from Offset on.
type EvidenceRequest struct {
	Action string `json:"action"`
	File   string `json:"file,omitempty"`
	Offset int64  `json:"offset,omitempty"`
}

// EvidenceReply is the manifest, or a part of a file. Next is the offset to go on
// from, 0 at the end.
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
	maxEvidencePart = 256 << 10 // an answer on the bus has at most 1 MiB, and this grows by a third
)

var evidenceName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

func (s *Service) evidenceVerb(_ context.Context, body []byte) (any, error) {
	var r EvidenceRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	action, err := s.actionOf(r.Action)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(s.deps.DataDir, evidenceDir, action)
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("evidence of %s: %w", action, err)
	}
	defer func() { _ = root.Close() }() // only read
	reply := EvidenceReply{Action: action, Directory: folder}
	if r.File == "" {
		reply.Manifest, err = readManifest(root)
		return reply, err
	}
	if r.File != filepath.Base(r.File) || strings.HasPrefix(r.File, ".") {
		return nil, fmt.Errorf("%q is no file of evidence", r.File)
	}
	reply.Data, reply.Next, err = readPart(root, r.File, r.Offset)
	return reply, err
}

// actionOf finds the evidence a person means: of an action, or of a held container.
func (s *Service) actionOf(text string) (string, error) {
	p := s.run.Load()
	if id, err := p.quarantine.Find(text); err == nil {
		if e, is := p.quarantine.Get(id); is && e.Evidence != "" {
			return filepath.Base(e.Evidence), nil
		}
	}
	if !evidenceName.MatchString(text) {
		return "", fmt.Errorf("%q is neither an action nor a container that is held", text)
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
		if len(text) >= minPrefix && strings.HasPrefix(e.Name(), text) {
			found = append(found, e.Name())
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("there is no evidence of %q; ironpost quarantine list shows what is held", text)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%d actions begin with %q", len(found), text)
}

func readManifest(root *os.Root) (json.RawMessage, error) {
	data, _, err := readPart(root, manifestFile, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("the evidence is still being taken")
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
		return nil, 0, fmt.Errorf("%q is no file of evidence", name)
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
