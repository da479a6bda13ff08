package arch_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const addModulePage = "docs/add-a-module.md"

// pageBlock is a marker naming a file and the code block after it.
var pageBlock = regexp.MustCompile("(?s)<!-- (file|edit): (\\S+) -->\n```\\w+\n(.*?)```")

// TestAddAModulePageWorks applies docs/add-a-module.md to a copy of the project, then
// compiles and runs it: the tables accept the new module, and a daemon that runs it shows
// it in its status and counts a published alert.
func TestAddAModulePageWorks(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	page, err := os.ReadFile(filepath.Join("..", "..", addModulePage))
	require.NoError(t, err)
	touched := map[string]bool{"docs/configuration.md": true} // generated below
	for _, block := range pageBlock.FindAllStringSubmatch(string(page), -1) {
		kind, name, code := block[1], block[2], block[3]
		path := filepath.Join(root, name)
		if kind == "file" {
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
			require.NoError(t, os.WriteFile(path, []byte(code), 0o600))
			continue
		}
		touched[name] = true
		applyEdit(t, path, code)
	}
	require.Len(t, touched, 4, "the page and design say four files")
	for name := range touched {
		require.Contains(t, string(page), "| `"+name+"` |", "the page lists the files it touches")
	}
	code, err := os.ReadFile("testdata/alertcounter_test.go.txt")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "cmd/internal/suite/alertcounter_test.go"), code, 0o600))

	goRun(t, root, "test", "./cmd/internal/suite", "-run", "^TestReference", "-update")
	unformatted, err := exec.CommandContext(t.Context(), "gofmt", "-l", filepath.Join(root, "bus"), filepath.Join(root, "cmd"), filepath.Join(root, "services/alertcounter")).Output()
	require.NoError(t, err)
	require.Empty(t, string(unformatted))
	goRun(t, root, "test", "./cmd/internal/suite", "-run", "^(TestAlertCounter|TestReference|TestExample|TestEveryKey|TestEveryVariable)")
	goRun(t, root, "test", "./bus", "-run", "^(TestDurables|TestPermissions)")
	goRun(t, root, "test", "./internal/arch", "-skip", "^TestAddAModulePageWorks$")
}

// applyEdit puts the added lines of a diff between its context lines, which must stand
// in the file exactly once.
func applyEdit(t *testing.T, path, diff string) {
	t.Helper()
	var before, after []string
	for line := range strings.Lines(diff) {
		require.Contains(t, " +", line[:1], "%s: %q is neither context nor an addition", path, line)
		if line[0] == ' ' {
			before = append(before, line[1:])
		}
		after = append(after, line[1:])
	}
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	old := strings.Join(before, "")
	require.Equal(t, 1, strings.Count(string(content), old), "%s does not hold once:\n%s", path, old)
	changed := strings.Replace(string(content), old, strings.Join(after, ""), 1)
	require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
}

// copyProject returns a copy of the module's files, without those of git and built programs.
func copyProject(t *testing.T) string {
	t.Helper()
	const largest = 4 << 20
	from, to := filepath.Join("..", ".."), t.TempDir()
	require.NoError(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin"}, name) {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > largest {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o600)
	}))
	return to
}

// goRun runs the go command in dir. With -trimpath the cache of the build serves both copies.
func goRun(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-trimpath", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %s\n%s", strings.Join(args, " "), out)
}
