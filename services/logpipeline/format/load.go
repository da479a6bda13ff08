package format

import (
	"embed"
	"path"

	"github.com/ironpost/ironpost/internal/tomlfile"
)

//go:embed shipped/*.toml
var shippedFiles embed.FS

// maxFormats bounds the formats of one set: each may be tried on a line.
const maxFormats = 200

// Shipped returns the formats that this project describes.
func Shipped() ([]*Format, error) {
	entries, err := shippedFiles.ReadDir("shipped")
	if err != nil {
		return nil, err
	}
	var problems tomlfile.Problems
	var formats []*Format
	for _, e := range entries {
		data, err := shippedFiles.ReadFile(path.Join("shipped", e.Name()))
		if err != nil {
			return nil, err
		}
		formats = append(formats, decode(e.Name(), data, &problems))
	}
	return formats, problems.Err()
}

// Load reads the formats of a file, or of every *.toml of a folder. Those with a mistake are left out and problems has the mistake. It
// returns an error if location itself cannot be read.
func Load(location string, problems *tomlfile.Problems) ([]*Format, error) {
	files, err := tomlfile.Read(location, problems)
	if err != nil {
		return nil, err
	}
	var formats []*Format
	first := map[string]tomlfile.Position{}
	for _, file := range files {
		f := decode(file.Path, file.Data, problems)
		if f == nil {
			continue
		}
		if at, used := first[f.Name]; used {
			problems.Add(f.Position, "name", "%q is also the name of the format at %s, must be unique", f.Name, at)
			continue
		}
		first[f.Name] = f.Position
		formats = append(formats, f)
	}
	if len(formats) > maxFormats {
		problems.Add(tomlfile.Position{File: location}, "", "%d formats, allowed are %d", len(formats), maxFormats)
		formats = formats[:maxFormats]
	}
	return formats, nil
}
