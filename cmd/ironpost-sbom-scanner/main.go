// Command ironpost-sbom-scanner runs the SBOM scanner in a process of its own, on the bus of a daemon. With the argument osv-scan it
// is the second engine: the only program that links google/osv-scanner, which it runs for the other programs.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	second "github.com/ironpost/ironpost/services/sbomscanner/osvscanner"
)

// secondEngine documents the argument that is not one of a module's program.
const secondEngine = `
As the second engine of the scanner:
  ironpost-sbom-scanner osv-scan < request.json > report.json

  osv-scan   runs google/osv-scanner ` + second.Version + `: reads a request (what to scan, the folder of the database, a
             limit of memory) as JSON on standard input and writes the packages and their advisories as
             JSON to standard output. It opens no network connection. "ironpost scan --verify" and
             sbom.engine = "osv-scanner" run it.
`

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 1 && args[0] == second.Subcommand {
		if err := osvScan(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "Error:", err)
			return 1
		}
		return 0
	}
	code := suite.OS(suite.Single(suite.SBOMScanner())).Run(context.Background())
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
		fmt.Print(secondEngine)
	}
	return code
}
