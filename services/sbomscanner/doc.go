// Package sbomscanner compares what is installed with known vulnerabilities; here, its configuration.
package sbomscanner
