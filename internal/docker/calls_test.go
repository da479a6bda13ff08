package docker_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
)

var update = flag.Bool("update", false, "rewrite the generated documentation")

func TestGeneratedPageListsEveryCall(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	page.WriteString(`# Calls to Docker

Generated from ` + "`internal/docker`" + `; a test compares it with the requests that are really sent. Every path is also
sent with a version before it (` + "`/v1.41`" + `). Containers and images are named by full id.

| feature | method | path | why |
|---|---|---|---|
`)
	for _, c := range docker.Calls() {
		fmt.Fprintf(&page, "| %s | %s | `%s` | %s |\n", c.Feature, c.Method, c.Path, c.Why)
	}
	page.WriteString(`
Never used: create, start, stop, exec, archive, commit, build, changes to images, volumes, plugins, swarm.

## Behind a socket proxy

[deploy/socket-proxy/compose.yaml](../deploy/socket-proxy/compose.yaml) has two proxies that allow exactly these calls:
` + "`socket-proxy-images`" + ` those of ` + "`images`" + `, for the SBOM scanner only, because who may export images reads every file in
them; ` + "`socket-proxy`" + ` all others. To allow less, use the expressions of the features you need, always with those of
` + "`session`" + `:

| feature | method | expression for the whole path |
|---|---|---|
`)
	for _, f := range features() {
		for _, r := range docker.Allow(f) {
			if f == docker.FeatureSession || r.Pattern != sessionPattern(r.Method) {
				fmt.Fprintf(&page, "| %s | %s | `%s` |\n", f, r.Method, strings.ReplaceAll(r.Pattern, "|", `\|`))
			}
		}
	}
	compare(t, "../../docs/docker-api.md", page.String())
}

func features() []docker.Feature {
	var out []docker.Feature
	for _, c := range docker.Calls() {
		if len(out) == 0 || out[len(out)-1] != c.Feature {
			out = append(out, c.Feature)
		}
	}
	return out
}

func sessionPattern(method string) string {
	for _, r := range docker.Allow(docker.FeatureSession) {
		if r.Method == method {
			return r.Pattern
		}
	}
	return ""
}

// allowLine is one generated line of the proxy's configuration.
var allowLine = regexp.MustCompile(`(?m)^ +- '-allow[A-Z]+=.*'\n`)

func TestGeneratedProxyConfigurationAllowsEveryCall(t *testing.T) {
	t.Parallel()
	const path = "../../deploy/socket-proxy/compose.yaml"
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	want := allowLine.ReplaceAllString(string(page), "")
	for marker, rules := range map[string][]docker.Rule{
		"-update\n":              docker.Allow(),
		"likewise, for images\n": docker.Allow(docker.FeatureImages),
	} {
		var lines strings.Builder
		for _, r := range rules {
			fmt.Fprintf(&lines, "      - '-allow%s=%s'\n", r.Method, r.Pattern)
		}
		require.Equal(t, 1, strings.Count(want, marker))
		want = strings.Replace(want, marker, marker+lines.String(), 1)
	}
	compare(t, path, want)
}

func compare(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
	}
	is, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(is), "run: go test ./internal/docker -run Generated -update")
}
