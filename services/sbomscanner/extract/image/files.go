package image

import (
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// node is a path of the image: its states as a file in different layers, and what lies below it as a folder.
type node struct {
	children map[string]*node
	versions []version // in order of layers
	hides    []int     // layers that removed or replaced what lower ones have here and below
}

// version is a file as one layer has it.
type version struct {
	layer int
	data  data
	size  int64
	mode  fs.FileMode
}

// find returns the node at a path, or nil.
func (n *node) find(name string) *node {
	for element := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if n == nil {
			return nil
		}
		if element != "" {
			n = n.children[element]
		}
	}
	return n
}

// make returns the node at a path and makes what is missing, at most left nodes.
func (n *node) make(name string, left *int) (*node, error) {
	for element := range strings.SplitSeq(name, "/") {
		next := n.children[element]
		if next == nil {
			if *left == 0 {
				return nil, ErrTooMany
			}
			*left--
			next = &node{}
			if n.children == nil {
				n.children = map[string]*node{}
			}
			n.children[strings.Clone(element)] = next
		}
		n = next
	}
	return n, nil
}

// hide notes that layer number layer hides what lower ones have at n and below. It does nothing on a nil node.
func (n *node) hide(layer int) {
	if n != nil && (len(n.hides) == 0 || n.hides[len(n.hides)-1] != layer) {
		n.hides = append(n.hides, layer)
	}
}

// floor is the lowest layer that is visible at n and below, seen from the layer top.
func (n *node) floor(top int) int {
	lowest := 0
	for _, layer := range n.hides {
		if layer <= top {
			lowest = layer
		}
	}
	return lowest
}

// visible returns the versions of n between the layers lowest and top.
func (n *node) visible(lowest, top int) []version {
	lowest = max(lowest, n.floor(top))
	from, _ := slices.BinarySearchFunc(n.versions, lowest, func(v version, layer int) int { return v.layer - layer })
	to, _ := slices.BinarySearchFunc(n.versions, top+1, func(v version, layer int) int { return v.layer - layer })
	return n.versions[min(from, to):to]
}

// at returns the file at a path as it is seen from the layer top.
func (i *Image) at(name string, top int) (version, bool) {
	n, lowest := i.files, 0
	for element := range strings.SplitSeq(name, "/") {
		lowest = max(lowest, n.floor(top))
		if n = n.children[element]; n == nil {
			return version{}, false
		}
	}
	versions := n.visible(lowest, top)
	if len(versions) == 0 {
		return version{}, false
	}
	return versions[len(versions)-1], true
}

// Files yields the files of the image in order of their names, with the layers that changed each since it last came
// into being, lowest first.
func (i *Image) Files() iter.Seq2[string, []int] {
	return func(yield func(string, []int) bool) {
		i.files.walk("", 0, len(i.Layers)-1, yield)
	}
}

func (n *node) walk(name string, lowest, top int, yield func(string, []int) bool) bool {
	if versions := n.visible(lowest, top); len(versions) > 0 {
		layers := make([]int, len(versions))
		for i, v := range versions {
			layers[i] = v.layer
		}
		if !yield(name, slices.Compact(layers)) {
			return false
		}
	}
	lowest = max(lowest, n.floor(top))
	for _, element := range slices.Sorted(maps.Keys(n.children)) {
		if !n.children[element].walk(strings.TrimPrefix(name+"/"+element, "/"), lowest, top, yield) {
			return false
		}
	}
	return true
}

// File is an opened file of an image.
type File struct {
	*io.SectionReader
	info fs.FileInfo
}

// Stat describes the file.
func (f File) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close does nothing: the archive stays open.
func (File) Close() error { return nil }

// Open opens a file as it is seen from layer number top. Links are not followed.
func (i *Image) Open(name string, top int) (File, error) {
	v, ok := i.at(name, top)
	if !ok {
		return File{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	var from io.ReaderAt = i.archive
	if v.data.spooled {
		from = i.spool.file
	}
	return File{io.NewSectionReader(from, v.data.offset, v.size), v.info(name)}, nil
}

// Stat describes a file as it is seen from layer number top.
func (i *Image) Stat(name string, top int) (fs.FileInfo, error) {
	v, ok := i.at(name, top)
	if !ok {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return v.info(name), nil
}

type fileInfo struct {
	name string
	v    version
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.v.size }
func (i fileInfo) Mode() fs.FileMode  { return i.v.mode }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }
