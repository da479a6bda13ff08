package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"

	"github.com/google/osv-scanner/v2/pkg/models"
	"github.com/google/osv-scanner/v2/pkg/osvscanner"

	second "github.com/ironpost/ironpost/services/sbomscanner/osvscanner"
)

// maxRequest limits the request on standard input, in bytes.
const maxRequest = 1 << 20

// osvScan reads a request, runs osv-scanner without any access to the network, and writes the report. A panic of osv-scanner is
// not recovered here: it ends the process, and the parent reports its text.
func osvScan(in io.Reader, out io.Writer) error {
	var r second.Request
	if err := json.NewDecoder(io.LimitReader(in, maxRequest)).Decode(&r); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	if r.MemoryBytes > 0 {
		debug.SetMemoryLimit(r.MemoryBytes)
		if err := limitMemory(r.MemoryBytes); err != nil {
			return fmt.Errorf("limit the memory: %w", err)
		}
	}
	results, err := scan(r)
	if err != nil && !errors.Is(err, osvscanner.ErrVulnerabilitiesFound) && !errors.Is(err, osvscanner.ErrNoPackagesFound) {
		return fmt.Errorf("osv-scanner: %w", err)
	}
	if err := json.NewEncoder(out).Encode(report(results)); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func scan(r second.Request) (models.VulnerabilityResults, error) {
	actions := osvscanner.ScannerActions{
		Recursive:             true,
		ConfigOverridePath:    r.Config,
		CompareOffline:        true,
		LocalDBPath:           r.Database,
		PluginNetworkDisabled: true,
		ShowAllPackages:       true,
		ShowAllVulns:          true,
	}
	actions.TransitiveScanning.Disabled = true
	switch {
	case r.Image != "":
		actions.Image, actions.IsImageArchive = r.Image, true
		return osvscanner.DoContainerScan(actions)
	case r.Document != "":
		actions.LockfilePaths = []string{r.Document}
	case r.Directory != "":
		actions.DirectoryPaths = []string{r.Directory}
	default:
		return models.VulnerabilityResults{}, fmt.Errorf("the request names nothing to scan: %w", os.ErrInvalid)
	}
	return osvscanner.DoScan(actions)
}

func report(results models.VulnerabilityResults) second.Report {
	out := second.Report{Engine: "osv-scanner " + second.Version, Packages: []second.Package{}}
	for _, source := range results.Results {
		for _, found := range source.Packages {
			p := second.Package{
				Name: found.Package.Name, Version: found.Package.Version, Ecosystem: found.Package.Ecosystem, Location: source.Source.Path,
			}
			if found.Package.Inventory != nil && found.Package.Inventory.PURL() != nil {
				p.PURL = found.Package.Inventory.PURL().String()
			}
			for _, v := range found.Vulnerabilities {
				p.IDs = append(p.IDs, v.GetId())
			}
			slices.Sort(p.IDs)
			out.Packages = append(out.Packages, p)
		}
	}
	return out
}
