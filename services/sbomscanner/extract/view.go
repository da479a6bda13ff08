package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"
)

// Errors of a view that name a reason in Inventory.Skipped.
var (
	errTooLarge   = errors.New("is larger than the limit")
	errTooComplex = errors.New("has more elements or deeper nesting than the limit")
	errTooMany    = errors.New("refers to more files than the limit")
)

// view is the file system that parsers see while they parse one file: that file and those it refers to. It
// implements scalibr's fs.FS. It bounds what is read, notes which files were looked at, and
// closes what parsers leave open.
type view struct {
	ctx    context.Context //nolint:containedctx // fs.FS has no parameter for it
	tree   tree
	name   string
	whole  bool // read at once and checked, as text is
	limits Limits

	tokens  int                    // left
	bytes   int64                  // left
	others  int                    // left
	looked  map[string]fs.FileInfo // files other than name; nil where there is none
	opened  []io.Closer
	content []byte // of name, if whole
	failure error  // the first limit that was hit
}

func newView(ctx context.Context, t tree, name string, whole bool, limits Limits) *view {
	return &view{
		ctx: ctx, tree: t, name: name, whole: whole, limits: limits,
		tokens: limits.Tokens, bytes: limits.TextBytes, others: limits.OtherFiles, looked: map[string]fs.FileInfo{},
	}
}

// Open opens a file for a parser. Parsers ask os.IsNotExist, which looks into one error, not into errors within.
func (v *view) Open(name string) (fs.File, error) {
	f, err := v.openFile(name)
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = p.Err
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return f, nil
}

func (v *view) openFile(name string) (fs.File, error) {
	if name == v.name && v.content != nil {
		return v.inMemory(name, v.content)
	}
	if name != v.name {
		if err := v.look(name); err != nil {
			return nil, err
		}
	}
	f, err := v.tree.open(name)
	if err != nil {
		return nil, err
	}
	v.opened = append(v.opened, f)
	if name == v.name && !v.whole {
		return &cancelledFile{f, v.ctx}, nil
	}
	content, err := v.read(name, f)
	if err != nil {
		v.failure = errors.Join(v.failure, err)
		return nil, err
	}
	if name == v.name {
		v.content = content
	}
	return v.inMemory(name, content)
}

// look notes that a parser wants to know of another file.
func (v *view) look(name string) error {
	if !fs.ValidPath(name) {
		return fs.ErrInvalid
	}
	if _, known := v.looked[name]; known {
		return nil
	}
	if v.others == 0 {
		v.failure = errors.Join(v.failure, errTooMany)
		return errTooMany
	}
	v.others--
	info, err := v.tree.stat(name)
	if err != nil {
		info = nil
	}
	v.looked[name] = info
	return nil
}

func (v *view) read(name string, f file) ([]byte, error) {
	content, err := io.ReadAll(&cancelledFile{readerFile{f, io.LimitReader(f, v.bytes+1)}, v.ctx})
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > v.bytes {
		return nil, fmt.Errorf("%w of %d bytes", errTooLarge, v.limits.TextBytes)
	}
	v.bytes -= int64(len(content))
	tokens, nesting := measure(name, content)
	if tokens > v.tokens || nesting > v.limits.Nesting {
		return nil, errTooComplex
	}
	v.tokens -= tokens
	return content, nil
}

// Costs of what a text has, in tokens. Parsers need some 200 bytes for a token of any format, at most.
const (
	objectCost  = 8 // JSON objects, TOML tables
	elementCost = 4 // XML
	packageCost = 8 // lines that may name a package each
)

// measure returns the tokens and the deepest nesting of brackets of a text. Parsers of all formats need memory in
// proportion to the first and stack in proportion to the second. Ends of lines cost nothing in JSON, where they mean nothing.
func measure(name string, content []byte) (tokens, nesting int) {
	line := 1
	if lineNamesPackage(name) {
		line = packageCost
	}
	if bytes.HasPrefix(content, []byte("{")) {
		line = 0
	}
	depth := 0
	for _, c := range content {
		switch c {
		case ',', ':', '(':
			tokens++
		case '<':
			tokens += elementCost
		case '\n':
			tokens += line
		case '[', '{':
			tokens += objectCost
			depth++
			nesting = max(nesting, depth)
		case ']', '}':
			depth = max(0, depth-1)
		}
	}
	return tokens, nesting
}

// lineNamesPackage reports whether a file with this name is in a format with one package a line.
func lineNamesPackage(name string) bool {
	base := path.Base(name)
	return base == "go.mod" || base == "go.sum" || path.Ext(base) == ".txt"
}

func (v *view) inMemory(name string, content []byte) (fs.File, error) {
	return memoryFile{bytes.NewReader(content), memoryInfo{path.Base(name), int64(len(content))}}, nil
}

// Stat describes a file for a parser.
func (v *view) Stat(name string) (fs.FileInfo, error) {
	if name != v.name {
		if err := v.look(name); err != nil {
			return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
		}
	}
	return v.tree.stat(name)
}

// ReadDir is refused: no parser in the list needs it.
func (v *view) ReadDir(name string) ([]fs.DirEntry, error) {
	return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.ErrUnsupported}
}

// close closes every opened file, also those that parsers forgot.
func (v *view) close() {
	for _, c := range v.opened {
		_ = c.Close() // opened for reading: nothing is lost
	}
}

// cancelledFile fails once its context has ended.
type cancelledFile struct {
	file
	ctx context.Context //nolint:containedctx // io.Reader has no parameter for it
}

func (f *cancelledFile) Read(p []byte) (int, error) {
	if f.ctx.Err() != nil {
		return 0, context.Cause(f.ctx)
	}
	return f.file.Read(p)
}

func (f *cancelledFile) ReadAt(p []byte, offset int64) (int, error) {
	if f.ctx.Err() != nil {
		return 0, context.Cause(f.ctx)
	}
	return f.file.ReadAt(p, offset)
}

// readerFile is a file that is read through another reader.
type readerFile struct {
	file
	reader io.Reader
}

func (f readerFile) Read(p []byte) (int, error) { return f.reader.Read(p) }

// memoryFile is a file whose content is in memory.
type memoryFile struct {
	*bytes.Reader
	info memoryInfo
}

func (f memoryFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f memoryFile) Close() error               { return nil }

type memoryInfo struct {
	name string
	size int64
}

func (i memoryInfo) Name() string       { return i.name }
func (i memoryInfo) Size() int64        { return i.size }
func (i memoryInfo) Mode() fs.FileMode  { return 0o444 }
func (i memoryInfo) ModTime() time.Time { return time.Time{} }
func (i memoryInfo) IsDir() bool        { return false }
func (i memoryInfo) Sys() any           { return nil }
