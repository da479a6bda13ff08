package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/internal/setting"
)

// problem adds a problem at the place where key was set.
func (l *loader) problem(key, what string) {
	l.problems = append(l.problems, l.locate(setting.Problem{Key: key, What: what}))
}

// warn adds a warning at the place where key was set.
func (l *loader) warn(key, what string) {
	l.warnings = append(l.warnings, l.locate(setting.Problem{Key: key, What: what}).String())
}

// locate returns p with the place where its key was set: a variable or flag, a line, or for a default the section's header.
func (l *loader) locate(p setting.Problem) Problem {
	key, element := l.element(p.Key)
	located := Problem{File: l.document.file, Key: key, What: p.What}
	if element >= 0 {
		located.What = fmt.Sprintf("element %d: %s", element+1, p.What)
	}
	if fileKey, ok := l.via[key]; ok {
		key = fileKey
	}
	switch origin := l.origins[key]; origin.Kind {
	case FromVariable, FromFlag:
		located.File, located.Source = "", origin.Name
	case FromFile:
		located.At = l.document.place(key, element)
	default:
		located.At = l.document.header(key)
	}
	return located
}

// element splits "watch_paths.2" into the key and the index; the index is -1 when the key is whole.
func (l *loader) element(key string) (string, int) {
	if _, whole := l.schema.lookup(key); whole {
		return key, -1
	}
	dot := strings.LastIndexByte(key, '.')
	if dot < 0 {
		return key, -1
	}
	index, err := strconv.Atoi(key[dot+1:])
	if err != nil {
		return key, -1
	}
	return key[:dot], index
}

// place returns the position of a value, or of one element of it.
func (d *document) place(key string, element int) Position {
	if element >= 0 && element < len(d.elements[key]) {
		return d.elements[key][element]
	}
	return d.at[key]
}

// header returns the position of the nearest section header above a key; zero when the file has none.
func (d *document) header(key string) Position {
	for dot := strings.LastIndexByte(key, '.'); dot > 0; dot = strings.LastIndexByte(key[:dot], '.') {
		if at, ok := d.keys[key[:dot]]; ok {
			return at
		}
	}
	return Position{}
}
