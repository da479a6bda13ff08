// Package osvscanner runs google/osv-scanner as the second engine, in a process of its own: it can be stopped at any time, its
// memory is limited, and a panic ends that process alone. Only the command ironpost-sbom-scanner links it.
package osvscanner

// Subcommand is the argument with which ironpost-sbom-scanner reads a Request on its standard input and writes a Report to its
// standard output.
const Subcommand = "osv-scan"

// Version is that of osv-scanner.
const Version = "2.5.1"

// Request says what to scan: exactly one of Directory, Image and Document is set.
type Request struct {
	Directory string `json:"directory,omitempty"` // absolute path of a folder to read
	Image     string `json:"image,omitempty"`     // absolute path of an archive of docker save
	Document  string `json:"document,omitempty"`  // absolute path of a CycloneDX document whose name ends in .cdx.json

	// Database is the absolute path of a folder with osv-scalibr/<Ecosystem>/all.zip for every ecosystem.
	Database string `json:"database"`
	// Config is the absolute path of an empty configuration of osv-scanner. It replaces those in what is scanned, which may
	// hide findings.
	Config string `json:"config"`
	// MemoryBytes limits the memory of the process; 0 for no limit.
	MemoryBytes int64 `json:"memory_bytes,omitempty"`
}

// Report is what osv-scanner found.
type Report struct {
	Engine   string    `json:"engine"` // name and version
	Packages []Package `json:"packages"`
}

// Package is a package that osv-scanner found in one file, with the advisories that it says affect it.
type Package struct {
	PURL      string   `json:"purl,omitempty"`
	Name      string   `json:"name"`
	Version   string   `json:"version,omitempty"`
	Ecosystem string   `json:"ecosystem,omitempty"`
	Location  string   `json:"location,omitempty"`
	IDs       []string `json:"ids,omitempty"` // of advisories, sorted
}
