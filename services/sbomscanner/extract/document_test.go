package extract_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/extract"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

const cycloneDX = `{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": [
 {"type": "library", "bom-ref": "1", "name": "github.com/BurntSushi/toml", "version": "v1.5.0", "purl": "pkg:golang/github.com/BurntSushi/toml@v1.5.0",
  "licenses": [{"license": {"id": "MIT"}}], "components": [
   {"type": "library", "bom-ref": "2", "name": "core", "group": "@angular", "purl": "pkg:npm/%40angular/core@17.0.1", "scope": "optional"}]},
 {"type": "file", "name": "README"}],
 "dependencies": [{"ref": "1", "dependsOn": ["2", "missing"]}]}`

const cycloneDXML = `<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.5" version="1"><components>
 <component type="library"><name>x</name><version>1</version><purl>pkg:cargo/x@1</purl></component></components></bom>`

const spdxJSON = `{"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "packages": [
 {"SPDXID": "SPDXRef-a", "name": "github.com/BurntSushi/toml", "versionInfo": "v1.5.0", "licenseConcluded": "NOASSERTION", "licenseDeclared": "MIT",
  "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "pkg:golang/github.com/burntsushi/toml@v1.5.0"}]},
 {"SPDXID": "SPDXRef-b", "name": "core", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:npm/%40angular/core@17.0.1"}]},
 {"SPDXID": "SPDXRef-c", "name": "README"}],
 "relationships": [{"spdxElementId": "SPDXRef-b", "relationshipType": "DEPENDENCY_OF", "relatedSpdxElement": "SPDXRef-a"}]}`

const spdxTagValue = `SPDXVersion: SPDX-2.3
PackageName: github.com/BurntSushi/toml
SPDXID: SPDXRef-a
PackageComment: <text>PackageName: not
a package</text>
PackageLicenseDeclared: MIT
ExternalRef: PACKAGE-MANAGER purl pkg:golang/github.com/burntsushi/toml@v1.5.0
PackageName: core
SPDXID: SPDXRef-b
ExternalRef: PACKAGE-MANAGER purl pkg:npm/%40angular/core@17.0.1
PackageName: README
SPDXID: SPDXRef-c
Relationship: SPDXRef-a DEPENDS_ON SPDXRef-b
`

func TestDocumentsOfEveryFormatGiveTheSamePackages(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"cyclonedx": cycloneDX, "spdx": spdxJSON, "tag-value": spdxTagValue} {
		found := document(t, content)
		require.Equal(t, inventory.Package{
			PURL: "pkg:golang/github.com/burntsushi/toml@v1.5.0", Name: "github.com/BurntSushi/toml", Version: "1.5.0", Ecosystem: "Go",
			Locations: []string{"sbom"}, Licenses: []string{"MIT"}, DependsOn: []string{"pkg:npm/%40angular/core@17.0.1"},
		}, found.Packages[0], name)
		require.Equal(t, "@angular/core", found.Packages[1].Name, name)
		require.Equal(t, map[string]int{"unnamed": 1}, found.Skipped, name)
		require.Equal(t, inventory.Document, found.Asset.Kind)
		require.Regexp(t, "^sha256:[0-9a-f]{64}$", found.Asset.Digest)
	}
	require.Equal(t, []string{"pkg:cargo/x@1"}, urls(document(t, cycloneDXML)))
}

func document(t *testing.T, content string) *inventory.Inventory {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sbom")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	e, err := extract.New(extract.Options{})
	require.NoError(t, err)
	found, err := e.Document(t.Context(), path)
	require.NoError(t, err)
	return found
}

func TestDocumentThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"text": "hello", "cut": cycloneDX[:200], "tag-value": spdxTagValue[:120], "folder/x": ""})
	e, err := extract.New(extract.Options{})
	require.NoError(t, err)
	for _, name := range []string{"text", "cut", "tag-value", "folder", "missing"} {
		_, err := e.Document(t.Context(), filepath.Join(dir, name))
		require.ErrorContains(t, err, name)
	}
}
