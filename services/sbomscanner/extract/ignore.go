package extract

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// Limits of .gitignore files.
const (
	maxIgnoreBytes    = 256 << 10
	maxIgnorePatterns = 2000 // in force at once
)

// defaultExclude are folders of version control, whose content is not part of what is installed.
var defaultExclude = []string{".git/", ".hg/", ".svn/", ".jj/"}

type ignorePattern = gitignore.Pattern

func excludePatterns(exclude []string) ([]ignorePattern, error) {
	var patterns []ignorePattern
	for _, p := range append(defaultExclude, exclude...) {
		if strings.TrimSpace(p) == "" || strings.ContainsRune(p, 0) {
			return nil, fmt.Errorf("pattern to exclude is empty or has a zero byte: %q", p)
		}
		if _, err := filepath.Match(p, ""); err != nil {
			return nil, fmt.Errorf("pattern to exclude %q: %w; write it as in a .gitignore file", p, err)
		}
		patterns = append(patterns, gitignore.ParsePattern(p, nil))
	}
	return patterns, nil
}

// readIgnore returns the patterns of a .gitignore file in the folder with these path elements.
func readIgnore(file io.Reader, folder []string) (patterns []ignorePattern) {
	lines := bufio.NewScanner(io.LimitReader(file, maxIgnoreBytes))
	for lines.Scan() && len(patterns) < maxIgnorePatterns {
		line := lines.Text()
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		patterns = append(patterns, gitignore.ParsePattern(line, folder))
	}
	return patterns
}

// ignored reports whether the last pattern that matches excludes the path.
func ignored(patterns []ignorePattern, path []string, isDir bool) bool {
	for _, pattern := range slices.Backward(patterns) {
		if match := pattern.Match(path, isDir); match > gitignore.NoMatch {
			return match == gitignore.Exclude
		}
	}
	return false
}
