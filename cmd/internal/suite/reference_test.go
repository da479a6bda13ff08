package suite

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const referencePath = "../../../docs/configuration.md"

var update = flag.Bool("update", false, "write docs/configuration.md anew")

// entry is one key of the example with the comment above it.
type entry struct {
	section, key, meaning, variable, flag, value string
	listed                                       bool // in a list of sections, which no variable sets
}

// entries reads the example by its own habit: comment lines, the last of them the variable, then key = value. A section of a list is itself in
// comments, up to an empty line.
func entries(t testing.TB) []entry {
	t.Helper()
	var list []entry
	var comment []string
	section, listed := "", false
	for line := range strings.Lines(example(t)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "# [[") {
			listed, comment = true, nil
		}
		if listed = listed && line != ""; listed {
			line = strings.TrimPrefix(line, "# ")
		}
		name, value, pair := strings.Cut(line, " = ")
		switch {
		case strings.HasPrefix(line, "#"):
			comment = append(comment, strings.TrimPrefix(line, "# "))
			continue
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case strings.HasPrefix(line, " "):
			list[len(list)-1].value += " " + strings.TrimSpace(line)
		case line == "]":
			list[len(list)-1].value += line
		case pair:
			require.NotEmpty(t, comment, "%s has no comment", name)
			if listed {
				list = append(list, entry{section: "[" + section + "]", key: section + "." + name, meaning: strings.Join(comment, " "), value: value, listed: true})
				break
			}
			last := len(comment) - 1
			variable, flag, _ := strings.Cut(comment[last], ", flag ")
			list = append(list, entry{
				section: section, key: section + "." + name, meaning: strings.Join(comment[:last], " "),
				variable: variable, flag: flag, value: value,
			})
		}
		comment = nil
	}
	return list
}

// TestReferenceIsUpToDate compares docs/configuration.md with what the example says; -update writes it.
func TestReferenceIsUpToDate(t *testing.T) {
	want := reference(entries(t))
	if *update {
		require.NoError(t, os.WriteFile(referencePath, []byte(want), 0o644))
	}
	got, err := os.ReadFile(referencePath)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "run go test ./cmd/internal/suite -update")
}

const preface = `# Configuration

Made from ironpost.toml.example by ` + "`go test ./cmd/internal/suite -update`" + `; edit that file, not this one.

Ironpost reads ` + "`/etc/ironpost/ironpost.toml`" + `, or the file named with ` + "`--config`" + `. Without the default file it starts with the defaults;
a named file must exist. Flags override variables, variables override the file. A list in a variable is separated by commas; a
switch is ` + "`true` or `false`" + `. The section of a disabled module is checked for unknown keys and types only.

The defaults are those of root. Another user's data is kept below ` + "`$XDG_STATE_HOME/ironpost`" + ` (or ` + "`~/.local/state/ironpost`" + `), sockets and
the PID file below ` + "`$XDG_RUNTIME_DIR/ironpost`" + ` (or the folder ` + "`run`" + ` below the data).

All mistakes are reported at once, one per line: ` + "`file:line:column: key: mistake, what is allowed`" + `, or the name of the variable
instead of the file. ` + "`ironpost config validate`" + ` prints them (exit code 3), ` + "`ironpost config show`" + ` prints each value and its origin.
A variable that begins with ` + "`IRONPOST_`" + ` and has no key is a warning, except ` + "`IRONPOST_TEST_*`, `IRONPOST_DATA` and `IRONPOST_CONFIG`" + `.
`

func reference(list []entry) string {
	var b strings.Builder
	b.WriteString(preface)
	section := ""
	for _, e := range list {
		if e.section != section {
			section = e.section
			fmt.Fprintf(&b, "\n## [%s]\n\n", section)
			if e.listed {
				b.WriteString("A list of sections, which no variable sets.\n\n| key | example | meaning |\n|---|---|---|\n")
			} else {
				b.WriteString("| key | default | meaning | variable |\n|---|---|---|---|\n")
			}
		}
		if e.listed {
			fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", strings.TrimPrefix(e.key, strings.Trim(section, "[]")+"."), e.value, strings.ReplaceAll(e.meaning, "|", "\\|"))
			continue
		}
		set := "`" + e.variable + "`"
		if e.flag != "" {
			set += ", `" + e.flag + "`"
		}
		name := strings.TrimPrefix(e.key, section+".")
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", name, e.value, strings.ReplaceAll(e.meaning, "|", "\\|"), set)
	}
	return b.String()
}
