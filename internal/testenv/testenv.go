// Package testenv decides, in one place, what happens to a test whose neighbour
// is not there: it skips with the reason, or fails where the caller of the tests
// said that nothing may be skipped.
package testenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// requireVar lists what may not be skipped: "all", or names separated by commas.
const requireVar = "IRONPOST_TEST_REQUIRE"

// dataVar is the folder of real inputs: rules, logs, captures, advisories.
const dataVar = "IRONPOST_DATA"

// Require lets a test go on if err is nil. Otherwise it skips the test with err
// as the reason, or fails it if IRONPOST_TEST_REQUIRE is "all" or names what.
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
