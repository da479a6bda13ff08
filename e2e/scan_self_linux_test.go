package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// vex explains the known vulnerabilities of modules that Ironpost is built from.
const vex = "../deploy/ironpost.openvex.json"

// The daemon's own binary is scanned: every known vulnerability of its modules is explained in the OpenVEX document that is
// shipped, and every explanation is still needed.
func TestScanOfTheDaemonIsExplained(t *testing.T) {
	t.Parallel()
	bin, err := build()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "program"), 0o700))
	require.NoError(t, os.Link(filepath.Join(bin, "ironpost-daemon"), filepath.Join(dir, "program", "ironpost-daemon")))
	explained, err := filepath.Abs(vex)
	require.NoError(t, err)
	r := ironpost(t, dir, "vulndb", "import", "--db", "db", "--ecosystem", "Go", testenv.Data(t, "osv/Go/all.zip"))
	require.Equal(t, 0, r.code, r.errs)

	r = ironpost(t, dir, "scan", "--db", "db", "--json", "--vex", explained, "program")
	require.Equal(t, 0, r.code, r.errs)
	var report struct {
		Complete   bool `json:"complete"`
		Ecosystems []struct {
			Name     string `json:"name"`
			Packages int    `json:"packages"`
		} `json:"ecosystems"`
		Findings   []struct{ ID, PURL, Summary string } `json:"findings"`
		Suppressed []struct{ ID, PURL string }          `json:"suppressed"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.out), &report))
	require.Empty(t, report.Findings, "explain it in %s, or update the module", vex)
	require.True(t, report.Complete, r.out)
	require.Len(t, report.Ecosystems, 1)
	require.Greater(t, report.Ecosystems[0].Packages, 40)

	var document struct {
		Statements []struct {
			Vulnerability struct{ Name string } `json:"vulnerability"`
		} `json:"statements"`
	}
	raw, err := os.ReadFile(vex)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &document))
	needed := map[string]bool{}
	for _, s := range report.Suppressed {
		needed[s.ID] = true
	}
	for _, s := range document.Statements {
		require.True(t, needed[s.Vulnerability.Name], "%s is not found any more: remove its statement", s.Vulnerability.Name)
	}
	linked, err := exec.Command("go", "list", "-deps", "../cmd/ironpost-daemon").Output()
	require.NoError(t, err)
	for pkg := range strings.Lines(string(linked)) {
		require.NotContains(t, pkg, "golang.org/x/crypto/openpgp")
		if docker, ok := strings.CutPrefix(pkg, "github.com/docker/docker/"); ok {
			require.Regexp(t, "^(client|api|internal)", docker, "the explanations are about these packages")
		}
	}
	t.Logf("%d modules, %d findings, all explained", report.Ecosystems[0].Packages, len(report.Suppressed))
}
