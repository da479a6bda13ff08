package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Whiteouts, as the OCI image specification defines them.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// errStop wraps an error that ends the whole image, not one layer.
var errStop = errors.New("stopped")

// layerReader merges layers into the files of an image, lowest first.
type layerReader struct {
	ctx     context.Context //nolint:containedctx // one read, one context
	image   *Image
	options Options
	left    int // nodes that may still be made
}

// read merges layer number n.
func (r *layerReader) read(n int, section *io.SectionReader) error {
	start := make([]byte, 4)
	if _, err := section.ReadAt(start, 0); err != nil {
		return fmt.Errorf("layer is too short: %w", err)
	}
	packed := &counter{Reader: section}
	unpacked, closing, compressed, err := decompress(packed, start)
	if err != nil {
		return err
	}
	if !compressed {
		return r.entries(tar.NewReader(section), n, func(_ *tar.Reader, _ *tar.Header) (data, error) {
			offset, err := section.Seek(0, io.SeekCurrent)
			outer, base, _ := section.Outer()
			return data{offset: base + offset, spooled: outer != io.ReaderAt(r.image.archive)}, err
		})
	}
	defer closing()
	from := &bounded{ctx: r.ctx, from: unpacked, packed: packed, spool: r.image.spool}
	return r.entries(tar.NewReader(from), n, func(reader *tar.Reader, header *tar.Header) (data, error) {
		offset, err := r.image.spool.store(reader, header.Size)
		return data{offset: offset, spooled: true}, err
	})
}

// data is where the content of a file lies.
type data struct {
	offset  int64
	spooled bool
}

// entries merges the entries of one layer. The function locate returns where the content of the current one lies.
func (r *layerReader) entries(reader *tar.Reader, n int, locate func(*tar.Reader, *tar.Header) (data, error)) error {
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := clean(header.Name)
		if err := r.options.Visit(name); err != nil {
			return fmt.Errorf("%w%w", errStop, err)
		}
		if strings.Count(name, "/") > r.options.Limits.Depth {
			r.options.Problem(name, ErrTooDeep)
			continue
		}
		if err := r.entry(reader, header, name, n, locate); err != nil {
			return err
		}
	}
}

func (r *layerReader) entry(reader *tar.Reader, header *tar.Header, name string, n int, locate func(*tar.Reader, *tar.Header) (data, error)) error {
	folder, base := path.Split(name)
	switch {
	case name == "":
		return nil
	case base == opaque:
		r.image.files.find(folder).hide(n)
		return nil
	case strings.HasPrefix(base, whiteout):
		r.image.files.find(folder + base[len(whiteout):]).hide(n)
		return nil
	}
	switch header.Typeflag {
	case tar.TypeDir:
		if _, wasFile := r.image.at(name, n); wasFile {
			r.image.files.find(name).hide(n)
		}
		return nil
	case tar.TypeReg:
		if isSparse(header) || !r.options.Want(name, header.FileInfo()) {
			break
		}
		where, err := locate(reader, header)
		if err != nil {
			return err
		}
		return r.put(name, version{layer: n, data: where, size: header.Size, mode: header.FileInfo().Mode()})
	case tar.TypeLink:
		if target, ok := r.image.at(clean(header.Linkname), n); ok && r.options.Want(name, target.info(name)) {
			target.layer = n
			return r.put(name, target)
		}
	}
	r.image.files.find(name).hide(n) // replaced by something that is not wanted
	return nil
}

// put adds a version of a file. What was below its path before, as a folder, is hidden.
func (r *layerReader) put(name string, v version) error {
	made, err := r.image.files.make(name, &r.left)
	if err != nil {
		return err
	}
	if len(made.children) > 0 {
		made.hide(v.layer)
	}
	made.versions = append(made.versions, v)
	return nil
}

// isSparse reports whether the content is not stored as one piece.
func isSparse(header *tar.Header) bool {
	if header.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// info describes v as the file called name.
func (v version) info(name string) fs.FileInfo { return fileInfo{path.Base(name), v} }
