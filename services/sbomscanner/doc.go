// Package sbomscanner has the configuration of the SBOM scanner, which will compare
// installed software with known vulnerabilities. The scanner itself is not part of this
// build: the daemon reports it as such when it is enabled.
package sbomscanner
