package java

import (
	"bufio"
	"bytes"
	"path"
	"regexp"
	"strings"

	"github.com/google/osv-scalibr/extractor/filesystem/language/java/groupid"
)

// identity is what names a package in Maven.
type identity struct{ group, artifact, version string }

func (i identity) complete() bool {
	return i.group != "" && i.artifact != "" && i.version != "" && !strings.Contains(i.group+i.artifact+i.version, "${")
}

// pomProperties reads the file that Maven writes into archives.
func pomProperties(content []byte) (id identity) {
	for line := range strings.Lines(string(content)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch strings.TrimSpace(key) {
		case "groupId":
			id.group = strings.TrimSpace(value)
		case "artifactId":
			id.artifact = strings.TrimSpace(value)
		case "version":
			id.version = strings.TrimSpace(value)
		}
	}
	return id
}

// manifestIdentity reads the main section of a manifest: a group and a version, where they are stated.
func manifestIdentity(content []byte) identity {
	headers := mainSection(content)
	first := func(names ...string) string {
		for _, name := range names {
			value, _, _ := strings.Cut(headers[strings.ToLower(name)], ";")
			if value != "" && !strings.ContainsAny(value, " \t") {
				return value
			}
		}
		return ""
	}
	return identity{
		group:   strings.ToLower(first("Implementation-Vendor-Id", "Bundle-SymbolicName", "Automatic-Module-Name", "Extension-Name")),
		version: first("Implementation-Version", "Bundle-Version", "Specification-Version"),
	}
}

// mainSection returns the headers of a manifest up to the first empty line, by their names in lower case. A line that
// begins with a space continues the one before.
func mainSection(content []byte) map[string]string {
	headers, last := map[string]string{}, ""
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, maxMetadata)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		if line == "" {
			break
		}
		if line[0] == ' ' {
			headers[last] += line[1:]
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		last = strings.ToLower(name)
		headers[last] = strings.TrimSpace(value)
	}
	return headers
}

// versionPart is where the version begins in names such as guava-31.1-jre or lib_2.12.
var versionPart = regexp.MustCompile(`^(.+?)[-_.]((?:[0-9]|build[0-9]|rc?[0-9]).*)$`)

// guess names an archive that has no pom.properties by its file name and manifest. Where no group is stated it is that
// of a known artifact, else the artifact itself, as Maven's oldest packages have it.
func guess(name string, manifest identity) []identity {
	base := path.Base(name)
	base = strings.TrimSuffix(base, path.Ext(base))
	id := identity{artifact: base, version: manifest.version}
	if parts := versionPart.FindStringSubmatch(base); parts != nil {
		id.artifact, id.version = parts[1], parts[2]
	}
	if id.version == "" || id.artifact == "" {
		return nil
	}
	id.group = groupid.FromArtifactID(id.artifact)
	if id.group == "" && strings.Contains(manifest.group, ".") {
		id.group = manifest.group
	}
	if i := strings.LastIndex(id.artifact, "."); id.group == "" && i > 0 {
		id.group = id.artifact[:i]
	}
	if id.group == "" {
		id.group = id.artifact
	}
	return []identity{id}
}
