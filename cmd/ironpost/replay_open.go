package main

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/services/logpipeline/tail"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxReplayFiles bounds the files of one folder.
	maxReplayFiles = 100_000
	// maxZstdWindow bounds the memory for a compressed file, in bytes.
	maxZstdWindow = 128 << 20
	// replayStart is how much of a file says what it is.
	replayStart = 512
)

// replayFile is a file to replay.
type replayFile struct {
	name  string
	size  int64 // 0 if it is not known
	found bool  // in a folder, not named
}

// replayFiles returns the files of the arguments in their order, those below a folder by their times, the oldest first.
func replayFiles(names []string) ([]replayFile, error) {
	var out []replayFile
	for _, name := range names {
		if name == "-" {
			out = append(out, replayFile{name: name})
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			out = append(out, replayFile{name: filepath.Clean(name), size: info.Size()})
			continue
		}
		below, err := filesBelow(name)
		if err != nil {
			return nil, err
		}
		out = append(out, below...)
	}
	return out, nil
}

// filesBelow returns the regular files in a folder and the folders in it. Links are not followed.
func filesBelow(folder string) ([]replayFile, error) {
	type dated struct {
		replayFile
		changed int64
	}
	var all []dated
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if len(all) == maxReplayFiles {
			return fmt.Errorf("%s has more than %d files: name fewer", folder, maxReplayFiles)
		}
		all = append(all, dated{replayFile{path, info.Size(), true}, info.ModTime().UnixNano()})
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b dated) int {
		return cmp.Or(cmp.Compare(a.changed, b.changed), strings.Compare(a.name, b.name))
	})
	out := make([]replayFile, len(all))
	for i, file := range all {
		out[i] = file.replayFile
	}
	return out, nil
}

// open opens the file. One that was found in a folder may have become something else since, or belong to somebody else: only a regular file is opened.
func (f replayFile) open() (*os.File, error) {
	if f.found {
		return tail.OpenRegular(f.name)
	}
	return os.Open(f.name)
}

// open sets up the reader, decompressed (gzip RFC 1952, zstd RFC 8878, xz), and returns the first bytes of the content. done ends it.
func (r *replayInput) open(file io.Reader) (start []byte, done func(), err error) {
	const buffer = 1 << 16
	done = func() {}
	r.reader = bufio.NewReaderSize(io.TeeReader(file, r.progress), buffer)
	start, err = r.reader.Peek(6)
	if ignoreEOF(err) != nil {
		return nil, done, err
	}
	var content io.Reader
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		content, err = gzip.NewReader(r.reader)
	case bytes.HasPrefix(start, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		content = tail.NewXzReader(r.reader)
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		var d *zstd.Decoder
		if d, err = zstd.NewReader(r.reader, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow)); err == nil {
			content, done = d, d.Close
		}
	}
	if err != nil {
		return nil, done, err
	}
	if content != nil {
		r.reader = bufio.NewReaderSize(content, buffer)
	}
	start, err = r.reader.Peek(replayStart)
	return start, done, ignoreEOF(err)
}

// ignoreEOF accepts a short file: it is a log.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
