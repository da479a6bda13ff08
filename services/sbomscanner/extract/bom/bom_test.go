package bom_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/extract/bom"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"a","bom-ref":"1","purl":"pkg:npm/a@1"}],"dependencies":[{"ref":"1","dependsOn":["1"]}]}`))
	f.Add([]byte(`<bom xmlns="http://cyclonedx.org/schema/bom/1.5"><components><component type="library"><name>x</name><purl>pkg:cargo/x@1</purl></component></components></bom>`))
	f.Add([]byte(`{"spdxVersion":"SPDX-2.3","packages":[{"SPDXID":"a","name":"a","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/a@1"}]}]}`))
	f.Add([]byte("SPDXVersion: SPDX-2.3\nPackageName: a\nSPDXID: a\nExternalRef: PACKAGE-MANAGER purl pkg:npm/a@1\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		document, err := bom.Read(content)
		if err != nil {
			return
		}
		for _, p := range document.Packages {
			read, err := inventory.FromPURL(p.PURL)
			if err != nil || read.PURL != p.PURL {
				t.Fatalf("%q is not canonical: %q, %v", p.PURL, read.PURL, err)
			}
		}
	})
}

func TestTheSubjectOfAnSPDXDocumentIsNoPackage(t *testing.T) {
	t.Parallel()
	const packages = `{"spdxVersion":"SPDX-2.3","packages":[{"SPDXID":"SPDXRef-image","name":"shop"},{"SPDXID":"SPDXRef-a","name":"a"},
{"SPDXID":"SPDXRef-b","name":"b","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/b@1"}]}],"documentDescribes":`
	for describes, unnamed := range map[string]int{
		`["SPDXRef-image"]}`: 1,
		`[]}`:                2,
		`["SPDXRef-image","SPDXRef-a","SPDXRef-b"]}`: 2, // says nothing
		`null,"relationships":[{"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-image"}]}`: 1,
	} {
		d, err := bom.Read([]byte(packages + describes))
		require.NoError(t, err)
		require.Equal(t, unnamed, d.Unnamed, describes)
		require.Len(t, d.Packages, 1)
	}
}
