package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The functions that return or add reasons, by name, and the calls that set one, by method.
var (
	reasonFunc = regexp.MustCompile(`(?i)(reasons?|remarks|health|expiring)$|^observe`)
	reasonCall = regexp.MustCompile(`^(Set|SetUnhealthy|Remark|setReason|worsen|Degraded)$`)
	// Reasons of another kind: of an action, of a parsed line, of what the log says at the start, of --check.
	ofAnotherKind = regexp.MustCompile(`services/containerguard/(safety|attribution)/|containerguard/(evaluate|judge|respond|notify_verb|quarantine/apply|quarantine/replacement).go$|` +
		`services/logpipeline/parse/|suite/(startlog|check).go$`)
	verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)
)

// Every text with which the code says why something is not healthy is in the table of alarms of docs/operations.md.
func TestEveryHealthReasonIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(doc), "## Alarms")
	require.True(t, found)
	count := 0
	for text, at := range reasonTexts(t) {
		count++
		if !strings.Contains(table, text) {
			t.Errorf("%s: docs/operations.md has no alarm with the text %q", at, text)
		}
	}
	require.Greater(t, count, 60, "the reasons are found")
	for topic, at := range topicsOfErrors(t) {
		if !strings.Contains(table, "`"+strings.TrimSpace(topic)+"`") {
			t.Errorf("%s: docs/operations.md has no alarm for errors of the topic `%s`", at, topic)
		}
	}
}

// topicsOfErrors returns the topics whose reason may be an error's text as it is, and where they are set.
func topicsOfErrors(t *testing.T) map[string]string {
	t.Helper()
	values, names := map[string]string{}, map[string]string{} // by folder and name of the constant
	inspect(t, func(files *token.FileSet, n ast.Node) {
		at := func(n ast.Node) string { return filepath.Dir(files.Position(n.Pos()).Filename) + " " }
		switch n := n.(type) {
		case *ast.ValueSpec:
			if name := n.Names[0].Name; strings.HasPrefix(name, "topic") || name == "healthTopic" {
				if lit, ok := n.Values[0].(*ast.BasicLit); ok {
					values[at(n)+name], _ = strconv.Unquote(lit.Value)
				}
			}
		case *ast.CallExpr:
			if !reasonCall.MatchString(nameOf(n.Fun)) || len(n.Args) != 2 {
				return
			}
			texts := map[string]string{}
			collect(files, n.Args[1], texts)
			if topic := nameOf(n.Args[0]); topic != "" && len(texts) == 0 {
				names[at(n)+topic] = files.Position(n.Pos()).String()
			}
		}
	})
	out := map[string]string{}
	for name, at := range names {
		if topic, ok := values[name]; ok {
			out[topic] = at
		}
	}
	require.Greater(t, len(out), 10, "the topics are found")
	return out
}

// reasonTexts returns the longest constant part of each reason, and where it is in the code.
func reasonTexts(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	inspect(t, func(files *token.FileSet, n ast.Node) {
		for _, part := range reasonParts(n) {
			collect(files, part, texts)
		}
	})
	return texts
}

// inspect calls visit for every node of the code in which reasons are made.
func inspect(t *testing.T, visit func(*token.FileSet, ast.Node)) {
	t.Helper()
	files := token.NewFileSet()
	for _, dir := range []string{"bus", "services", "internal", "cmd/internal"} {
		err := filepath.WalkDir("../../"+dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || ofAnotherKind.MatchString(path) {
				return err
			}
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				visit(files, n)
				return true
			})
			return nil
		})
		require.NoError(t, err)
	}
}

// reasonParts returns the parts of the code in which a string is a reason.
func reasonParts(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if reasonFunc.MatchString(n.Name.Name) && n.Name.Name != "setReason" && n.Body != nil {
			return []ast.Node{n.Body}
		}
	case *ast.CallExpr:
		if reasonCall.MatchString(nameOf(n.Fun)) && len(n.Args) > 1 {
			return []ast.Node{n.Args[len(n.Args)-1]}
		}
	case *ast.AssignStmt: // reason := fmt.Sprintf(…), out.Reasons = append(…)
		if strings.HasPrefix(strings.ToLower(nameOf(n.Lhs[0])), "reason") {
			return []ast.Node{n.Rhs[0]}
		}
	case *ast.KeyValueExpr: // health.Reason{Text: …}
		if name, ok := n.Key.(*ast.Ident); ok && name.Name == "Text" {
			return []ast.Node{n.Value}
		}
	}
	return nil
}

// nameOf returns the last name of an expression such as a.b.c.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// collect adds the sentences among the strings below n.
func collect(files *token.FileSet, n ast.Node, texts map[string]string) {
	ast.Inspect(n, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		s, err := strconv.Unquote(lit.Value)
		if err != nil {
			return true
		}
		longest := ""
		for _, part := range verb.Split(s, -1) {
			if part = strings.Trim(part, " :;,()"); len(part) > len(longest) {
				longest = part
			}
		}
		if strings.Count(longest, " ") >= 2 {
			texts[longest] = files.Position(lit.Pos()).String()
		}
		return true
	})
}
