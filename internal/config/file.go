package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/ironpost/ironpost/internal/setting"
)

const (
	// maxFile bounds the size of a configuration file.
	maxFile = 1 << 20
	// absent is the mode that stands for a missing file.
	absent = fs.ModeIrregular
)

// readFile returns the bytes and the mode of the file; a default file that is missing is empty.
func readFile(options Options) ([]byte, fs.FileMode, error) {
	if options.Path == "" {
		return nil, absent, nil
	}
	data, mode, err := readBounded(options.Path, maxFile)
	if errors.Is(err, fs.ErrNotExist) && !options.Named {
		return nil, absent, nil
	}
	if err != nil {
		return nil, absent, fmt.Errorf("configuration file: %w", err)
	}
	return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), mode, nil // editors on Windows write a byte order mark
}

// readBounded reads a file of at most limit bytes. A pipe or socket is refused, since opening one may block.
func readBounded(path string, limit int64) ([]byte, fs.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if info.IsDir() || info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) != 0 {
		return nil, 0, fmt.Errorf("%s is not a regular file", setting.Shown(path))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, 0, err
	}
	if int64(len(data)) > limit {
		return nil, 0, fmt.Errorf("%s is larger than %d bytes", setting.Shown(path), limit)
	}
	return data, info.Mode(), nil
}

// strict returns the problems so far. Without any, it decodes the file strictly with go-toml too, which checks our own walk.
func strict[T any](l *loader, data []byte) error {
	if len(l.problems) > 0 {
		return errorOf(l.problems, l.document.omitted)
	}
	var discarded T
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&discarded)
	if err == nil {
		return nil
	}
	problem := Problem{File: l.document.file, What: err.Error()}
	if decode := (*toml.DecodeError)(nil); errors.As(err, &decode) {
		problem.At.Line, problem.At.Column = decode.Position()
		problem.Key = strings.Join(decode.Key(), ".")
	}
	return errorOf([]Problem{problem}, 0)
}
