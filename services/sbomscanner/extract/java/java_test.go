package java_test

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/extract/java"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

func jar(t testing.TB, method uint16, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		f, err := w.CreateHeader(&zip.FileHeader{Name: files[i], Method: method})
		require.NoError(t, err)
		_, err = f.Write([]byte(files[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.String()
}

func urls(packages []inventory.Package) (list []string) {
	for _, p := range packages {
		list = append(list, strings.TrimPrefix(p.PURL, "pkg:maven/"))
	}
	return list
}

func read(t testing.TB, name, content string) ([]string, error) {
	t.Helper()
	packages, err := java.Archive(t.Context(), strings.NewReader(content), int64(len(content)), name)
	return urls(packages), err
}

const (
	properties    = "META-INF/maven/org.apache.logging.log4j/log4j-core/pom.properties"
	log4j         = "#Created by Maven\nversion=2.14.1\ngroupId=org.apache.logging.log4j\nartifactId=log4j-core\n"
	manifestPath  = "META-INF/MANIFEST.MF"
	guavaManifest = "Manifest-Version: 1.0\r\nBundle-SymbolicName: com.google.gua\r\n va\r\nBundle-Version: 1\r\n\r\nName: x\r\n"
)

func TestArchivesAreNamedByWhatTheyHave(t *testing.T) {
	t.Parallel()
	inner := jar(t, zip.Deflate, properties, log4j)
	for name, c := range map[string]struct {
		content string
		want    []string
	}{
		"app.jar":                     {inner, []string{"org.apache.logging.log4j/log4j-core@2.14.1"}},
		"fat.war":                     {jar(t, zip.Deflate, "WEB-INF/lib/log4j.jar", inner), []string{"org.apache.logging.log4j/log4j-core@2.14.1"}},
		"boot-2.0.jar":                {jar(t, zip.Store, "BOOT-INF/lib/log4j.jar", inner), []string{"org.apache.logging.log4j/log4j-core@2.14.1", "boot/boot@2.0"}},
		"guava-31.1-jre.jar":          {jar(t, zip.Deflate, manifestPath, guavaManifest), []string{"com.google.guava/guava@31.1-jre"}},
		"junit-4.12.jar":              {jar(t, zip.Deflate, "x", ""), []string{"junit/junit@4.12"}},
		"spring-web-5.3.1.jar":        {jar(t, zip.Deflate, "x", ""), []string{"org.springframework/spring-web@5.3.1"}},
		"org.apache.felix.main-1.jar": {jar(t, zip.Deflate, "x", ""), []string{"org.apache.felix/org.apache.felix.main@1"}},
		"unknown.jar":                 {jar(t, zip.Deflate, "x", ""), nil},
	} {
		got, err := read(t, name, c.content)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

func TestNestedArchivesHaveLimits(t *testing.T) {
	t.Parallel()
	deep := jar(t, zip.Store, properties, log4j)
	for range 20 {
		deep = jar(t, zip.Store, "x.jar", deep)
	}
	bomb := jar(t, zip.Deflate, "x.jar", strings.Repeat("\x00", 64<<20), properties, log4j)
	for name, content := range map[string]string{"deep.jar": deep, "bomb.jar": bomb} {
		_, err := read(t, name, content)
		require.ErrorIs(t, err, java.ErrTooLarge, name)
	}
	got, err := read(t, "bomb.jar", bomb)
	require.Error(t, err)
	require.Equal(t, []string{"org.apache.logging.log4j/log4j-core@2.14.1"}, got, "the rest of the archive is read")
}

func TestProjectResolvesParentsAndProperties(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"pom.xml": `<project><groupId>g</groupId><artifactId>parent</artifactId><version>1</version><properties><jackson>2.17.0</jackson></properties>
 <dependencyManagement><dependencies><dependency><groupId>m</groupId><artifactId>managed</artifactId><version>3</version></dependency></dependencies></dependencyManagement></project>`,
		"app/pom.xml": `<?xml version="1.0" encoding="ISO-8859-1"?><project><parent><groupId>g</groupId><artifactId>parent</artifactId><version>1</version></parent><artifactId>app</artifactId>
 <dependencies>
  <dependency><groupId>com.Fasterxml</groupId><artifactId>databind</artifactId><version>${jackson}</version></dependency>
  <dependency><groupId>m</groupId><artifactId>managed</artifactId></dependency>
  <dependency><groupId>junit</groupId><artifactId>junit</artifactId><version>[4.12,5)</version><scope>test</scope></dependency>
  <dependency><groupId>x</groupId><artifactId>unknown</artifactId><version>${nowhere}</version></dependency>
 </dependencies></project>`,
	}
	packages, err := java.Project([]byte(files["app/pom.xml"]), "app/pom.xml", func(name string) ([]byte, error) {
		if content, ok := files[name]; ok {
			return []byte(content), nil
		}
		return nil, fs.ErrNotExist
	})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"com.Fasterxml/databind@2.17.0", "m/managed@3", "junit/junit@4.12"}, urls(packages))
	for _, p := range packages {
		if p.Name == "junit:junit" {
			require.Equal(t, []string{"test"}, p.Groups)
		}
	}
}

func FuzzArchive(f *testing.F) {
	f.Add([]byte(jar(f, zip.Deflate, properties, log4j, manifestPath, guavaManifest)))
	f.Add([]byte(jar(f, zip.Store, "x.jar", jar(f, zip.Deflate, properties, log4j))))
	f.Fuzz(func(t *testing.T, content []byte) {
		_, _ = java.Archive(t.Context(), bytes.NewReader(content), int64(len(content)), "a-1.jar")
	})
}
