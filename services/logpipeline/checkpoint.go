package logpipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ironpost/ironpost/services/logpipeline/dedup"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

const (
	checkpointVersion = 1
	maxCheckpoint     = 512 << 20
)

// checkpoint is where the pipeline stands: everything that the lines before this
// place left behind, and how far the stream had got with their alerts.
type checkpoint struct {
	Version      int             `json:"version"`
	Machine      string          `json:"machine"`
	Saved        time.Time       `json:"saved"`
	LastSeq      uint64          `json:"last_seq"`
	Tail         tail.State      `json:"tail"`
	Windows      []dedup.Window  `json:"windows"`
	Correlations json.RawMessage `json:"correlations"`
	Packets      []span          `json:"packets"`
	Docker       *docker.State   `json:"docker,omitempty"`
}

// checkpointFile is the file a checkpoint is kept in.
type checkpointFile struct {
	path    string
	machine string
}

// load reads the checkpoint, nil if there is none. One that is damaged, of another
// machine or of another version is moved aside, and trouble says so; the error is
// for a file that can be neither read nor moved.
func (f checkpointFile) load() (saved *checkpoint, trouble string, err error) {
	data, err := readCapped(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read checkpoint: %w", err)
	}
	saved, bad := f.decode(data)
	if bad == nil {
		return saved, "", nil
	}
	aside := fmt.Sprintf("%s.bad-%s", f.path, time.Now().UTC().Format("20060102T150405"))
	if err := os.Rename(f.path, aside); err != nil {
		return nil, "", fmt.Errorf("checkpoint is %w, and cannot be moved aside: %w", bad, err)
	}
	return nil, fmt.Sprintf("checkpoint was %v: moved to %s, watched files go on from their ends", bad, aside), nil
}

func (f checkpointFile) decode(data []byte) (*checkpoint, error) {
	var c checkpoint
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	if c.Version != checkpointVersion {
		return nil, fmt.Errorf("of version %d, not %d", c.Version, checkpointVersion)
	}
	if c.Machine != f.machine {
		return nil, errors.New("of another machine")
	}
	return &c, nil
}

func readCapped(path string) ([]byte, error) {
	file, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(file, maxCheckpoint+1))
	if err == nil && len(data) > maxCheckpoint {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxCheckpoint)
	}
	return data, err
}

// save writes c so that either the old or the new one is there after a power cut.
func (f checkpointFile) save(c checkpoint) error {
	c.Version, c.Machine, c.Saved = checkpointVersion, f.machine, time.Now().UTC()
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	if len(data) > maxCheckpoint {
		return fmt.Errorf("checkpoint of %d bytes is larger than %d", len(data), maxCheckpoint)
	}
	if err := replaceFile(f.path, data); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// replaceFile gives the file at path another content, or leaves the old one.
func replaceFile(path string, data []byte) error {
	temp := path + ".new"
	if err := writeSynced(temp, data); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func writeSynced(path string, data []byte) (err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Write(data); err != nil {
		return err
	}
	return file.Sync()
}

func makeFolder(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}
