// Command ironpost-sbom-scanner is the only program that links google/osv-scanner, which it runs for the other programs.
package main

import (
	"fmt"
	"os"

	second "github.com/ironpost/ironpost/services/sbomscanner/osvscanner"
)

const usage = `ironpost-sbom-scanner runs google/osv-scanner as the second engine of the SBOM scanner.

Usage:
  ironpost-sbom-scanner osv-scan < request.json > report.json

  osv-scan   reads a request (what to scan, the folder of the database, a memory limit) as JSON on standard
             input and writes the packages and their advisories as JSON to standard output. It opens no
             network connection. "ironpost scan --verify" and sbom.engine = "osv-scanner" run it.
`

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	switch {
	case len(args) == 1 && args[0] == second.Subcommand:
		if err := osvScan(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "Error:", err)
			return 1
		}
		return 0
	case len(args) == 1 && (args[0] == "--help" || args[0] == "-h"):
		fmt.Print(usage)
		return 0
	}
	fmt.Fprint(os.Stderr, usage)
	return 2
}
