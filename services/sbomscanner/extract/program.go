package extract

import (
	"bytes"
	"errors"
	"io"
	"path"
	"strings"

	cpb "github.com/google/osv-scalibr/binary/proto/config_go_proto"
	"github.com/google/osv-scalibr/extractor/filesystem"
	"github.com/google/osv-scalibr/extractor/filesystem/language/javascript/packagejson"
)

// programParser is a parser for programs that leaves scripts and data alone.
type programParser struct{ filesystem.Extractor }

// FileRequired reports whether the file may be a program, by its name and mode.
func (p programParser) FileRequired(f filesystem.FileAPI) bool {
	switch path.Ext(f.Path()) {
	case ".py", ".pyc", ".sh", ".bash", ".pl", ".pm", ".rb", ".php", ".awk", ".tcl", ".js", ".ko", ".a", ".o":
		return false
	}
	return p.Extractor.FileRequired(f)
}

func onlyPrograms(parsers []parser) bool {
	for _, p := range parsers {
		if _, ok := p.Extractor.(programParser); !ok {
			return false
		}
	}
	return true
}

// beginsAsProgram spares most executable files the parsers. One that cannot be opened is left to them, to report it.
func beginsAsProgram(t tree, name string) bool {
	f, err := t.open(name)
	if err != nil {
		return true
	}
	defer func() { _ = f.Close() }() // only read
	start := make([]byte, 4)
	n, err := f.ReadAt(start, 0)
	return isProgram(start[:n]) || err != nil && !errors.Is(err, io.EOF)
}

// isProgram knows the formats that Go and Rust compile to: ELF, PE, Mach-O in either byte order.
func isProgram(start []byte) bool {
	for _, magic := range []string{"\x7fELF", "MZ", "\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe"} {
		if bytes.HasPrefix(start, []byte(magic)) {
			return true
		}
	}
	return false
}

// installedNPM returns scalibr's parser of package.json for installed packages. The file of a project itself names no
// package that anyone could have installed.
func installedNPM(config *cpb.PluginConfig) (filesystem.Extractor, error) {
	e, err := packagejson.New(config)
	return installedParser{e}, err
}

type installedParser struct{ filesystem.Extractor }

// FileRequired reports whether the file belongs to an installed package.
func (p installedParser) FileRequired(f filesystem.FileAPI) bool {
	return path.Base(f.Path()) == "package.json" && strings.Contains("/"+f.Path(), "/node_modules/") && p.Extractor.FileRequired(f)
}
