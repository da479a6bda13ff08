// Package arch tests the import rules of the project:
// cmd → services → internal → bus → event, with sigma, bpf, rules, internal/task and
// internal/backoff as leaves, and one importer for each heavy library.
package arch_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/ironpost/ironpost"

type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// leaves import no other package of ours, so every package may import them.
var leaves = []string{"internal/atomicfile", "internal/backoff", "internal/task"}

// forbidden lists, for each folder, the folders of ours it may not import, leaves aside.
var forbidden = map[string][]string{
	"event":    {"bus", "internal", "services", "cmd", "sigma", "bpf", "rules"},
	"sigma":    {"event", "bus", "internal", "services", "cmd", "bpf", "rules"},
	"bpf":      {"event", "bus", "internal", "services", "cmd", "sigma", "rules"},
	"rules":    {"event", "bus", "internal", "services", "cmd", "sigma", "bpf"},
	"bus":      {"internal", "services", "cmd", "sigma", "bpf", "rules"},
	"internal": {"services", "cmd", "sigma", "bpf", "rules"},
	"services": {"cmd", "internal/daemon", "internal/config", "bus/embedded"},
}

// soleImporter lists the folders that may import a library.
var soleImporter = map[string][]string{
	"github.com/nats-io/nats-server": {"bus/embedded"},
	"github.com/nats-io/nats.go":     {"bus"},
	"github.com/nats-io/nkeys":       {"bus", "internal/credential"},
	"github.com/synadia-io/orbit.go": {"bus"},
	"github.com/spf13/viper":         {"internal/config"},
	"github.com/docker/docker":       {"internal/docker"},
	"github.com/cilium/ebpf":         {"bpf", "services/ebpfengine"},
	"github.com/jackc/pgx":           {"internal/storage"},
	"github.com/pressly/goose":       {"internal/storage"},

	// Its engine, osv-scalibr, is linked by every program with the SBOM scanner; it itself by the program of the second engine only.
	"github.com/google/osv-scalibr": {"services/sbomscanner"},
	"github.com/google/osv-scanner": {"cmd/ironpost-sbom-scanner"},
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range packages(t) {
		from := folder(p.ImportPath)
		for _, imp := range p.Imports {
			if slices.Contains(leaves, folder(imp)) {
				continue
			}
			for _, bad := range forbidden[top(from)] {
				require.False(t, within(folder(imp), bad), "%s imports %s", p.ImportPath, imp)
			}
		}
	}
}

func TestLeavesImportNothingOfOurs(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.Contains(leaves, folder(p.ImportPath)) {
			continue
		}
		for _, imp := range p.Imports {
			require.False(t, within(imp, module), "%s imports %s", p.ImportPath, imp)
		}
	}
}

func TestServicesDoNotKnowEachOther(t *testing.T) {
	for _, p := range packages(t) {
		from := folder(p.ImportPath)
		if top(from) != "services" {
			continue
		}
		for _, imp := range append(p.Imports, p.XTestImports...) {
			to := folder(imp)
			require.False(t, top(to) == "services" && service(to) != service(from), "%s imports %s", p.ImportPath, imp)
		}
	}
}

func TestHeavyLibrariesHaveOneImporter(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			for library, allowed := range soleImporter {
				if !within(imp, library) {
					continue
				}
				ok := slices.ContainsFunc(allowed, func(a string) bool { return within(folder(p.ImportPath), a) })
				require.True(t, ok, "%s imports %s, which only %v may", p.ImportPath, imp, allowed)
			}
		}
	}
}

func TestEventUsesTheStandardLibraryOnly(t *testing.T) {
	for _, p := range packages(t) {
		if folder(p.ImportPath) != "event" {
			continue
		}
		for _, imp := range p.Imports {
			require.NotContains(t, imp, ".", "event imports %s", imp)
		}
	}
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	out, err := cmd.Output()
	require.NoError(t, err)
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		require.NoError(t, dec.Decode(&p))
		all = append(all, p)
	}
	require.NotEmpty(t, all)
	return all
}

// folder returns an import path relative to our module; another module's path stays as it is.
func folder(path string) string { return strings.TrimPrefix(path, module+"/") }

func top(folder string) string {
	name, _, _ := strings.Cut(folder, "/")
	return name
}

func service(folder string) string {
	parts := strings.SplitN(folder, "/", 3)
	return parts[min(1, len(parts)-1)]
}

func within(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}
