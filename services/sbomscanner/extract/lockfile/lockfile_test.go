package lockfile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/extract/lockfile"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

const npm = `{"lockfileVersion": 3, "packages": {
 "": {"name": "root", "dependencies": {"a": "1", "c": "2"}},
 "node_modules/a": {"version": "1.0.0", "dependencies": {"@s/b": "1", "c": "1"}},
 "node_modules/a/node_modules/c": {"version": "1.0.0", "dev": true},
 "node_modules/@s/b": {"version": "1.1.0", "optional": true, "peerDependencies": {"c": "2"}},
 "node_modules/c": {"version": "2.0.0"}, "packages/w": {"version": "0"}, "node_modules/w": {"link": true}}}`

const uv = `[[package]]
name = "app"
version = "0"
source = { virtual = "." }
dependencies = [{ name = "a" }]
[package.dev-dependencies]
test = [{ name = "t" }]
[[package]]
name = "a"
version = "1"
dependencies = [{ name = "b" }]
[[package]]
name = "b"
version = "1"
[[package]]
name = "t"
version = "1"
dependencies = [{ name = "b" }]
`

func byURL(t *testing.T, packages []inventory.Package, err error) map[string]inventory.Package {
	t.Helper()
	require.NoError(t, err)
	found := map[string]inventory.Package{}
	for _, p := range packages {
		found[p.PURL] = p
	}
	return found
}

func TestNPMDependsOnWhatNodeFinds(t *testing.T) {
	t.Parallel()
	packages, err := lockfile.NPM([]byte(npm))
	found := byURL(t, packages, err)
	require.Len(t, found, 4)
	require.Equal(t, []string{"pkg:npm/%40s/b@1.1.0", "pkg:npm/c@1.0.0"}, found["pkg:npm/a@1.0.0"].DependsOn, "its own c, not the one above")
	require.Equal(t, []string{"pkg:npm/c@2.0.0"}, found["pkg:npm/%40s/b@1.1.0"].DependsOn)
	require.Equal(t, []string{"optional"}, found["pkg:npm/%40s/b@1.1.0"].Groups)
	require.Equal(t, []string{"dev"}, found["pkg:npm/c@1.0.0"].Groups)
}

func TestUVGroupsAreThoseOfWhatNothingElseNeeds(t *testing.T) {
	t.Parallel()
	packages, err := lockfile.UV([]byte(uv))
	found := byURL(t, packages, err)
	require.Len(t, found, 3)
	require.Equal(t, []string{"test"}, found["pkg:pypi/t@1"].Groups)
	require.Empty(t, found["pkg:pypi/b@1"].Groups, "needed at run time too")
	require.Equal(t, []string{"pkg:pypi/b@1"}, found["pkg:pypi/a@1"].DependsOn)
}

func FuzzLockFiles(f *testing.F) {
	f.Add([]byte(npm))
	f.Add([]byte(uv))
	f.Add([]byte("[[package]]\nname = \"a\"\nversion = \"1\"\ndependencies = [\"b 1 (x)\", \"c\"]\n"))
	f.Add([]byte("[[package]]\nname = \"a\"\nversion = \"1\"\ngroups = [\"dev\"]\n[package.dependencies]\nb = \"*\"\n"))
	f.Add([]byte(`{"dependencies": {"a": {"version": "npm:b@1", "requires": true, "dependencies": {"c": {"version": "2"}}}}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, read := range []func([]byte) ([]inventory.Package, error){lockfile.NPM, lockfile.Cargo, lockfile.Poetry, lockfile.UV} {
			packages, err := read(content)
			if err != nil {
				continue
			}
			urls := byURL(t, packages, nil)
			for _, p := range packages {
				for _, to := range p.DependsOn {
					require.Contains(t, urls, to, "a dependency is a package of the file")
				}
			}
		}
	})
}
