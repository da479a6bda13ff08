package lockfile

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// npmLock has the fields of package-lock.json and npm-shrinkwrap.json that are read. Versions 2 and 3 have Packages,
// by path below the project; version 1 has Dependencies, by name and nested as on disk.
type npmLock struct {
	Packages     map[string]npmPackage    `json:"packages"`
	Dependencies map[string]npmDependency `json:"dependencies"`
}

type npmPackage struct {
	Name        string            `json:"name"`
	Version     string            `json:"version"`
	Link        bool              `json:"link"`
	Dev         bool              `json:"dev"`
	Optional    bool              `json:"optional"`
	DevOptional bool              `json:"devOptional"`
	Needs       map[string]string `json:"dependencies"`
	Optionals   map[string]string `json:"optionalDependencies"`
	Peers       map[string]string `json:"peerDependencies"`
}

type npmDependency struct {
	Version      string                   `json:"version"`
	Dev          bool                     `json:"dev"`
	Optional     bool                     `json:"optional"`
	Requires     npmRequires              `json:"requires"`
	Dependencies map[string]npmDependency `json:"dependencies"`
}

// npmRequires are the needed names. In old lock files "requires" may be true instead.
type npmRequires map[string]string

// UnmarshalJSON takes an object and ignores anything else.
func (r *npmRequires) UnmarshalJSON(text []byte) error {
	if len(text) == 0 || text[0] != '{' {
		return nil
	}
	return json.Unmarshal(text, (*map[string]string)(r))
}

const modules = "node_modules/"

// Limits of paths: npm's own are far shorter.
const (
	maxPath  = 1024
	maxClimb = 64 // folders to look in for one need
)

// NPM reads package-lock.json or npm-shrinkwrap.json, versions 1 to 3.
func NPM(content []byte) ([]inventory.Package, error) {
	var lock npmLock
	if err := json.Unmarshal(content, &lock); err != nil {
		return nil, fmt.Errorf("npm lock file: %w", err)
	}
	packages := lock.Packages
	if packages == nil {
		packages = map[string]npmPackage{}
		flatten(packages, "", lock.Dependencies)
	}
	g := newGraph[string]()
	for at, p := range packages {
		if !strings.Contains(at, modules) || p.Link || len(at) > maxPath {
			continue // the project itself, folders of its workspaces, and what no disk can hold
		}
		name := p.Name
		if name == "" {
			name = at[strings.LastIndex(at, modules)+len(modules):]
		}
		g.add(at, "npm", name, p.Version, groupsOf(p.Dev || p.DevOptional, p.Optional || p.DevOptional), resolve(packages, at, p))
	}
	return g.done(), nil
}

// flatten turns the nested form of version 1 into paths.
func flatten(into map[string]npmPackage, folder string, dependencies map[string]npmDependency) {
	for name, d := range dependencies {
		p := npmPackage{Version: d.Version, Dev: d.Dev, Optional: d.Optional, Needs: d.Requires}
		if alias, ok := strings.CutPrefix(d.Version, "npm:"); ok {
			if i := strings.LastIndex(alias, "@"); i > 0 {
				p.Name, p.Version = alias[:i], alias[i+1:]
			}
		}
		if strings.ContainsAny(p.Version, ":/") {
			p.Version = "" // a folder or an address, not a version
		}
		at := folder + modules + name
		into[at] = p
		flatten(into, at+"/", d.Dependencies)
	}
}

// resolve returns the paths of the packages that p at the path at needs, as Node.js finds them: in the node_modules of its own
// folder, else in those of the folders above.
func resolve(packages map[string]npmPackage, at string, p npmPackage) (needs []string) {
	for _, names := range []map[string]string{p.Needs, p.Optionals, p.Peers} {
		for name := range names {
			if found, ok := lookUp(packages, at, name); ok {
				needs = append(needs, found)
			}
		}
	}
	return needs
}

// lookUp returns the path of the package called name that one at the path at finds.
func lookUp(packages map[string]npmPackage, at, name string) (string, bool) {
	folder := at
	for range maxClimb {
		candidate := strings.TrimPrefix(folder+"/"+modules+name, "/")
		if found, ok := packages[candidate]; ok {
			return candidate, !found.Link
		}
		if folder == "" {
			break
		}
		folder = above(folder)
	}
	return "", false
}

// above returns the next folder up that may have a node_modules.
func above(folder string) string {
	if i := strings.LastIndex(folder, modules); i >= 0 {
		return strings.TrimSuffix(folder[:i], "/")
	}
	return ""
}
