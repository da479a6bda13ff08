package document

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/ironpost/ironpost/event"
)

// Limits of foreign text in a document, in bytes and in elements of one package.
const (
	maxText      = 1 << 10
	maxPURL      = 4 << 10
	maxLocations = 100
	maxLicenses  = 20
	maxNames     = 50 // aliases of a vulnerability, containers of an asset
)

var digestForm = regexp.MustCompile(`^sha256:([0-9a-f]{64})$`)

// line returns foreign text for a field of a document.
func line(s string) string { return event.Printable(s, maxText) }

// lines returns the first n of foreign texts, without empty ones.
func lines(in []string, n int) []string {
	out := make([]string, 0, min(len(in), n))
	for _, s := range in[:min(len(in), n)] {
		if s != "" {
			out = append(out, line(s))
		}
	}
	return out
}

// validPURL reports whether a document may state purl as a package URL, in which everything but visible ASCII is
// percent-encoded (ECMA-427).
func validPURL(purl string) bool {
	for i := range len(purl) {
		if purl[i] <= ' ' || purl[i] > '~' {
			return false
		}
	}
	return len(purl) <= maxPURL && strings.HasPrefix(purl, "pkg:")
}

// reference returns what identifies the package in a CycloneDX document: its package URL, or a hash of what is none.
func reference(purl string) string {
	if validPURL(purl) {
		return purl
	}
	return "sha256:" + hash(purl)
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
