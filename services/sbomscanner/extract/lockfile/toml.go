package lockfile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// Cargo reads Cargo.lock, versions 1 to 4. Packages without a source are the project's own crates; they are read too,
// because the file does not say which of them are published.
func Cargo(content []byte) ([]inventory.Package, error) {
	var lock struct {
		Packages []struct {
			Name    string   `toml:"name"`
			Version string   `toml:"version"`
			Needs   []string `toml:"dependencies"` // "name", "name version" or "name version (source)"
		} `toml:"package"`
	}
	if err := toml.Unmarshal(content, &lock); err != nil {
		return nil, fmt.Errorf("file Cargo.lock: %w", err)
	}
	versions := map[string]string{} // of names that stand alone in Needs because they have one version
	for _, p := range lock.Packages {
		versions[p.Name] = p.Version
	}
	g := newGraph[string]()
	for _, p := range lock.Packages {
		needs := make([]string, 0, len(p.Needs))
		for _, need := range p.Needs {
			words := strings.Fields(need)
			if len(words) == 1 {
				words = append(words, versions[words[0]])
			}
			if len(words) > 1 {
				needs = append(needs, words[0]+" "+words[1])
			}
		}
		g.add(p.Name+" "+p.Version, "cargo", p.Name, p.Version, nil, needs)
	}
	return g.done(), nil
}

// Poetry reads poetry.lock, versions 1 and 2. The groups are those that version 2.1 states; older files have only
// optional, or the category dev.
func Poetry(content []byte) ([]inventory.Package, error) {
	var lock struct {
		Packages []struct {
			Name     string         `toml:"name"`
			Version  string         `toml:"version"`
			Optional bool           `toml:"optional"`
			Category string         `toml:"category"`
			Groups   []string       `toml:"groups"`
			Needs    map[string]any `toml:"dependencies"`
		} `toml:"package"`
	}
	if err := toml.Unmarshal(content, &lock); err != nil {
		return nil, fmt.Errorf("poetry.lock: %w", err)
	}
	g := newGraph[string]()
	for _, p := range lock.Packages {
		name := pythonName(p.Name)
		groups := p.Groups
		switch {
		case p.Optional:
			groups = []string{"optional"}
		case slices.Contains(groups, "main"):
			groups = nil
		case p.Category == "dev":
			groups = []string{"dev"}
		}
		needs := make([]string, 0, len(p.Needs))
		for need := range p.Needs {
			needs = append(needs, pythonName(need))
		}
		g.add(name, "pypi", name, p.Version, groups, needs)
	}
	return g.done(), nil
}

// uvPackage is a package of uv.lock.
type uvPackage struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
	Source  struct {
		Virtual  string `toml:"virtual"`
		Editable string `toml:"editable"`
	} `toml:"source"`
	Needs     []uvNeed            `toml:"dependencies"`
	Optionals map[string][]uvNeed `toml:"optional-dependencies"`
	Dev       map[string][]uvNeed `toml:"dev-dependencies"`
}

type uvNeed struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
}

// own reports whether the package is the project or a member of its workspace.
func (p uvPackage) own() bool { return p.Source.Virtual != "" || p.Source.Editable != "" }

// UV reads uv.lock. A package that only groups of the project need has those groups.
func UV(content []byte) ([]inventory.Package, error) {
	var lock struct {
		Packages []uvPackage `toml:"package"`
	}
	if err := toml.Unmarshal(content, &lock); err != nil {
		return nil, fmt.Errorf("uv.lock: %w", err)
	}
	groups := uvGroups(lock.Packages)
	byName := map[string][]uvPackage{}
	for _, p := range lock.Packages {
		byName[p.Name] = append(byName[p.Name], p)
	}
	g := newGraph[string]()
	for _, p := range lock.Packages {
		if p.own() {
			continue
		}
		var needs []string
		for _, need := range p.Needs {
			for _, candidate := range byName[need.Name] {
				if need.Version == "" || need.Version == candidate.Version {
					needs = append(needs, candidate.Name+" "+candidate.Version)
				}
			}
		}
		g.add(p.Name+" "+p.Version, "pypi", p.Name, p.Version, groups[p.Name], needs)
	}
	return g.done(), nil
}

// maxGroups bounds the groups of a project. Packages of further groups count as needed at run time.
const maxGroups = 64

// uvGroups returns, for the names that nothing needs at run time, the groups that need them.
func uvGroups(packages []uvPackage) map[string][]string {
	needs, starts := map[string][]string{}, map[string][]string{} // a start is "" for run time, else a group
	for _, p := range packages {
		list := names(p.Needs)
		needs[p.Name] = append(needs[p.Name], list...)
		if !p.own() {
			continue
		}
		starts[""] = append(starts[""], list...)
		for _, set := range []map[string][]uvNeed{p.Optionals, p.Dev} {
			for group, list := range set {
				if _, known := starts[group]; !known && len(starts) > maxGroups {
					group = ""
				}
				starts[group] = append(starts[group], names(list)...)
			}
		}
	}
	groups := map[string][]string{}
	for _, group := range slices.Sorted(maps.Keys(starts)) {
		for name := range reach(needs, starts[group]) {
			groups[name] = append(groups[name], group)
		}
	}
	maps.DeleteFunc(groups, func(_ string, list []string) bool { return list[0] == "" })
	return groups
}

func names(needs []uvNeed) (list []string) {
	for _, n := range needs {
		list = append(list, n.Name)
	}
	return list
}

// reach returns what can be reached from the names in start.
func reach(needs map[string][]string, start []string) map[string]bool {
	found, todo := map[string]bool{}, slices.Clone(start)
	for len(todo) > 0 {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !found[name] {
			found[name] = true
			todo = append(todo, needs[name]...)
		}
	}
	return found
}
