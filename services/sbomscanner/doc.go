// Package sbomscanner is the SBOM scanner: it reads which packages are installed, compares them with known vulnerabilities, and
// reports only what is new.
//
// Packages by step: extract and image read assets, inventory has the result, advisory the vulnerability database, match compares,
// finding keeps what was found over time, suppression knows what does not matter, document writes SBOMs. This package runs them:
// loop.go decides, and the goroutines of worker.go, watcher.go, images.go, updater.go and publish.go wait for what is slow.
package sbomscanner
