package java

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"strings"

	"deps.dev/util/maven"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// maxParents bounds the chain of parents of a project.
const maxParents = 20

// Project returns the dependencies of the Maven project file called name. Parents are read through open where they
// are files beside the project; those in a repository are not asked for. A
// version that only such a parent manages stays empty; a dependency named by an unknown property is left out.
func Project(content []byte, name string, open func(string) ([]byte, error)) ([]inventory.Package, error) {
	project, err := parseProject(content)
	if err != nil {
		return nil, err
	}
	mergeParents(project, name, open)
	if err := project.Interpolate(); err != nil {
		return nil, fmt.Errorf("properties: %w", err)
	}
	project.ProcessDependencies(func(maven.String, maven.String, maven.String) (maven.DependencyManagement, error) {
		return maven.DependencyManagement{}, nil
	})
	var packages []inventory.Package
	for _, d := range project.Dependencies {
		p, err := inventory.NewPackage("maven", d.Name(), exact(string(d.Version)), nil)
		if err != nil || strings.Contains(p.Name, "${") {
			continue
		}
		if scope := string(d.Scope); scope == "test" || scope == "provided" || scope == "system" {
			p.Groups = []string{scope}
		}
		packages = append(packages, p)
	}
	return packages, nil
}

func parseProject(content []byte) (*maven.Project, error) {
	project := &maven.Project{}
	decoder := xml.NewDecoder(bytes.NewReader(content))
	decoder.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // names are ASCII
	decoder.Entity = xml.HTMLEntity
	if err := decoder.Decode(project); err != nil {
		return nil, fmt.Errorf("project file: %w", err)
	}
	return project, nil
}

// mergeParents adds what the parents state that are files of the same tree.
func mergeParents(project *maven.Project, name string, open func(string) ([]byte, error)) {
	current := project.Parent
	for range maxParents {
		if current.ArtifactID == "" {
			return
		}
		relative := string(current.RelativePath)
		if relative == "" {
			relative = "../pom.xml"
		}
		name = path.Join(path.Dir(name), relative)
		if path.Ext(name) != ".xml" && path.Ext(name) != ".pom" {
			name = path.Join(name, "pom.xml")
		}
		content, err := open(name)
		if err != nil {
			return
		}
		parent, err := parseProject(content)
		if err != nil || parent.ArtifactID != current.ArtifactID {
			return
		}
		project.MergeParent(*parent)
		current = parent.Parent
	}
}

// exact returns the version that a requirement names, or that a range begins or ends with. It is empty if it depends on
// a property that is not known.
func exact(requirement string) string {
	if strings.Contains(requirement, "${") {
		return ""
	}
	low, high, _ := strings.Cut(strings.Trim(requirement, "[]() "), ",")
	if low = strings.TrimSpace(low); low != "" {
		return low
	}
	return strings.TrimSpace(high)
}
