// Package testenv sets up what tests run against: a private dockerd or PostgreSQL, network namespaces,
// small disks, TLS certificates, free ports. Where one is missing the test is skipped
// with the reason, or fails if IRONPOST_TEST_REQUIRE says that it must run. Everything a
// test gets is removed when it ends.
package testenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// requireVar lists what must not be skipped: "all", or names separated by commas.
const requireVar = "IRONPOST_TEST_REQUIRE"

// dataVar is the folder of real inputs: rules, logs, captures, advisories.
const dataVar = "IRONPOST_DATA"

// Require returns if err is nil. Otherwise it skips the test with err as the reason, or
// fails it if IRONPOST_TEST_REQUIRE is "all" or names what.
func Require(t testing.TB, what string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if required(what) {
		t.Fatalf("%s is required here: %v", what, err)
	}
	t.Skipf("%s: %v", what, err)
}

// Data returns the path of a real input, rel, below IRONPOST_DATA, or skips.
func Data(t testing.TB, rel string) string {
	t.Helper()
	path := filepath.Join(os.Getenv(dataVar), rel)
	_, err := os.Stat(path)
	if os.Getenv(dataVar) == "" {
		err = os.ErrNotExist
	}
	Require(t, "data", err)
	return path
}

func required(what string) bool {
	for name := range strings.SplitSeq(os.Getenv(requireVar), ",") {
		if name == "all" || name == what {
			return true
		}
	}
	return false
}
